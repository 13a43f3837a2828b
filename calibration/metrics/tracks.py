"""Super-resolution accuracy on tracks: networks that read several frames, on the newest crop of each track."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...engines.bundle.io_spec import IOSpec
from ...engines.errors import EngineError
from ...engines.multiframe.session import MIN_FRAMES
from ...engines.session import MultiInputSession, Session
from ..data.tracks import RecordTracks, Tracks, moved_tracks, selected
from .evaluate import METRICS, Evaluation, Images, Metric, center_crops, compute_metrics, rounded, upscale_bicubic

MOVED = "moved"
"""Name of the tracks where no camera is given: faces that move by parts of a pixel, see `moved_tracks`."""


@dataclass(frozen=True)
class TrackEvaluation:
    """Metrics averaged over the newest crops of tracks.

    Args:
        evaluation: of the network, and of OpenCV's bicubic upscaling of the newest crops.
        frames: K, crops that were read of each track at most.
        several: number of faces of which at least `MIN_FRAMES` crops were registered: the others are upscaled by the
            network for single frames, or without one by this network from the crops that there are.
        single: metrics of the network for single frames; empty if none was given.
    """

    evaluation: Evaluation
    frames: int
    several: int
    single: dict[str, float]

    @property
    def gain_over_single_db(self) -> float | None:
        """Luma PSNR of the network minus that of the one for single frames; None if none was given."""
        return self.evaluation.psnr_y_db - self.single["psnr_y_db"] if self.single else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON, rounded to 4 decimals; the metrics of the network for single frames have the prefix "single_"."""
        values: dict[str, Any] = {"frames": self.frames, "several_frames_faces": self.several}
        if self.single:
            single = {f"single_{name}": value for name, value in self.single.items()}
            values |= rounded({**single, "gain_over_single_db": self.gain_over_single_db or 0.0})
        return {**self.evaluation.to_dict(), **values}


def tracks_of(faces: list[Images], io_spec: IOSpec, cameras: Mapping[str, RecordTracks]) -> dict[str, Tracks]:
    """Name of a camera -> tracks of the central part of the faces, see `center_crops`; `MOVED` without a camera."""
    hr = center_crops(faces, io_spec.scale, io_spec.crop_sizes)
    recorded = {name: record(hr, io_spec.scale) for name, record in cameras.items()}
    return recorded or {MOVED: moved_tracks(hr, io_spec.scale, io_spec.frames)}


def evaluate_tracks(
    session: MultiInputSession,
    tracks: Tracks,
    frames: int,
    single: Session | None = None,
    metrics: Mapping[str, Metric] = METRICS,
) -> TrackEvaluation:
    """Evaluate a multi-frame engine.

    Args:
        session: of the multi-frame network.
        tracks: with crops of a size that the networks take.
        frames: K, the newest crops of each track that are read, 1 to the number that the network reads.
        single: network for single frames of the same scale, which upscales the faces of fewer than `MIN_FRAMES` crops.
        metrics: name -> metric, "psnr_y_db" among them.

    Raises:
        EngineError: the network reads fewer frames, or the tracks are of another scale.
    """
    check_tracks(session.io_spec, tracks, frames)
    newest, truth = tracks.newest, tracks.truth
    bicubic = upscale_bicubic(newest, tracks.scale)
    from_one = None if single is None else np.asarray(single.infer(newest), np.uint8)
    several = tracks.counts(frames) >= min(MIN_FRAMES, frames)
    rows = np.ones(len(newest), bool) if from_one is None else several
    upscaled = bicubic.copy() if from_one is None else from_one.copy()
    if rows.any():
        upscaled[rows] = enlarged_tracks(session, selected(tracks, np.flatnonzero(rows)), frames)
    model, baseline = (compute_metrics(sr, truth, bicubic, metrics) for sr in (upscaled, bicubic))
    alone = {} if from_one is None else compute_metrics(from_one, truth, bicubic, metrics)
    return TrackEvaluation(Evaluation(len(truth), model, baseline), frames, int(several.sum()), alone)


def enlarged_tracks(session: MultiInputSession, tracks: Tracks, frames: int) -> Images:
    """Upscale the newest crops with the crops before them, (N, k·s, k·s, 3)."""
    inputs = [tracks.inputs(frames)] if frames > 1 else []
    return np.asarray(session.infer_batches([tracks.newest], inputs)[0].tensor, np.uint8)


def check_tracks(io_spec: IOSpec, tracks: Tracks, frames: int) -> None:
    """Raise an EngineError unless a network reads so many frames, and upscales tracks by their scale."""
    if not 1 <= frames <= io_spec.frames:
        raise EngineError(f"expected 1 to {io_spec.frames} frames, which the network reads, got {frames}")
    if io_spec.scale != tracks.scale:
        raise EngineError(f"the network upscales by {io_spec.scale}, the tracks are of scale {tracks.scale}")
