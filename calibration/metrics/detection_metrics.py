"""Detector accuracy and latency in the format of the model card."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...engines.session import Session
from ..data.detection import Scene
from ..timing import median_ms
from .detection import SizeRange, detect_with
from .detection_report import DetectorQuality, detector_quality, predict_scenes

TIMED_WH = ((640, 384), (1920, 1088))
"""Timed frame sizes: a small frame and a 1080p frame, padded to multiples of 32."""
ALL_SIZES = "all sizes"
GROUPS = {"all": "", "scene": "natural scenes, ", "event": "events, "}
"""Group of images on the card -> prefix of its metrics."""


def detection_metrics(session: Session, scenes: Sequence[Scene], score: float) -> dict[str, Any]:
    """Measure a detector for its card.

    Args:
        scenes: labelled images that are not in its training data.
        score: score threshold, 0..1.

    Returns:
        For JSON: average precision and recall at 90 % precision by face size, on all images, natural scenes and
        pictures of events; false positives; landmark error in distances between the eyes; fraction of the faces that
        are also detected in degraded images; latency of the network in ms.

    Raises:
        InputError: an image cannot be read.
    """
    detect = detect_with(session)
    quality = detector_quality([predict_scenes(detect, scene) for scene in scenes], score)
    return {**describe_metrics(quality), **network_latency(session)}


def describe_metrics(quality: DetectorQuality) -> dict[str, Any]:
    """The metrics of a detector that the card lists."""
    metrics: dict[str, Any] = {}
    for row in quality.rows:
        if row.group in GROUPS:
            name = GROUPS[row.group] + describe_sizes(row.sizes)
            ap, recall = round(row.average_precision, 4), round(row.recall, 4)
            values = {"average_precision": ap, "recall_at_90_precision": recall, "faces": row.faces}
            metrics |= values if name == ALL_SIZES else {name: values}
    metrics["score_threshold"] = quality.score
    background = quality.background
    metrics["false_positives"] = {"in_images_without_faces": background.count, "images": background.images}
    if quality.landmarks.median is not None:
        metrics["landmark_error"] = {"median": round(quality.landmarks.median, 4)}
        if quality.landmarks.frontal_mean is not None:
            metrics["landmark_error"]["mean_without_profiles"] = round(quality.landmarks.frontal_mean, 4)
    for each in quality.robustness:
        if each.detected is not None:
            metrics[f"detected in {each.degradation}"] = round(each.detected, 4)
    return metrics


def describe_sizes(sizes: SizeRange) -> str:
    """Name of a size range on the card."""
    if math.isinf(sizes.high):
        return f"from {sizes.low:g} px" if sizes.low else ALL_SIZES
    return f"{sizes.low:g} to {sizes.high:g} px"


def network_latency(session: Session) -> dict[str, Any]:
    """Median latency of the network by frame size, in ms, and the runtime."""
    rng = np.random.default_rng(0)
    sizes = tuple((w, h) for h, w in session.io_spec.sizes_hw) or TIMED_WH
    frames = {f"{w}x{h}": rng.integers(0, 256, (1, h, w, 3), np.uint8) for w, h in sizes}
    latencies = {size: round(median_ms([session], frame)[0], 2) for size, frame in frames.items()}
    return {"network_ms": latencies, "timed_on": session.runtime}
