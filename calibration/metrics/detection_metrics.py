"""A detector's quality and time, as its card has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...engines.session import Session
from ..accuracy import median_ms
from ..data.detection import Scene
from .detection import SizeRange, detect_with
from .detection_report import DetectorQuality, detector_quality, predict_scenes

TIMED_WH = ((640, 384), (1920, 1088))
"""Sizes that are timed: a small frame and a 1080p one, padded to multiples of 32."""
ALL_SIZES = "all sizes"


def detection_metrics(session: Session, scenes: Sequence[Scene], score: float) -> dict[str, Any]:
    """Measure a detector for its card.

    Args:
        session: the detector.
        scenes: labelled pictures that it was not trained on.
        score: the least score in use, 0..1.

    Returns:
        Average precision and recall at 90 % precision by size, of all pictures and of natural scenes; false alarms;
        landmark errors in distances between the eyes; milliseconds of the network alone; ready for JSON.

    Raises:
        InputError: a picture cannot be read.
    """
    detect = detect_with(session)
    return {
        **describe_metrics(detector_quality([predict_scenes(detect, scene) for scene in scenes], score)),
        **times(session),
    }


def describe_metrics(measured: DetectorQuality) -> dict[str, Any]:
    """The part of a measurement that a card keeps, under names that read."""
    kept: dict[str, Any] = {}
    for row in measured.rows:
        if row.group in ("all", "scene"):
            name = f"{'natural scenes, ' if row.group == 'scene' else ''}{sides(row.band)}"
            precision, recall = round(row.average_precision, 4), round(row.recall, 4)
            part = {"average_precision": precision, "recall_at_90_precision": recall, "faces": row.faces}
            kept |= part if name == ALL_SIZES else {name: part}
    kept["score_in_use"] = measured.score
    kept["false_alarms"] = {"in_pictures_without_faces": measured.alarms.count, "of": measured.alarms.pictures}
    if measured.landmarks.median is not None:
        kept["landmark_error"] = {"median": round(measured.landmarks.median, 4)}
        if measured.landmarks.frontal_mean is not None:
            kept["landmark_error"]["mean_without_profiles"] = round(measured.landmarks.frontal_mean, 4)
    return kept


def sides(band: SizeRange) -> str:
    """A band of sizes in words."""
    if math.isinf(band.high):
        return f"from {band.low:g} px" if band.low else ALL_SIZES
    return f"{band.low:g} to {band.high:g} px"


def times(session: Session) -> dict[str, Any]:
    """Milliseconds of the network alone, and what it ran on."""
    rng = np.random.default_rng(0)
    sizes = tuple((w, h) for h, w in session.io_spec.sizes_hw) or TIMED_WH
    pictures = {f"{w}x{h}": rng.integers(0, 256, (1, h, w, 3), np.uint8) for w, h in sizes}
    taken = {size: round(median_ms((session,), picture)[0], 2) for size, picture in pictures.items()}
    return {"network_ms": taken, "timed_on": session.runtime}
