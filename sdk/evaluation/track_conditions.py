"""Evaluation of a multi-frame network on tracks of given faces, by camera and number of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import product
from typing import Any

from ...calibration.metrics.evaluate import METRICS, SEED, Images, Metric
from ...calibration.metrics.tracks import TrackEvaluation, evaluate_tracks, tracks_of
from ...engines.bundle.bundle import Bundle
from ...engines.errors import UnknownNameError, UsageError
from ...engines.registry import open_session
from ...engines.session import MultiInputSession
from .tracks import CAMERAS, RECORDERS

FRAMES = (3, 5, 7)
"""Default numbers of frames, as far as the network reads them."""


@dataclass(frozen=True, eq=False)
class TrackConditions:
    """Results of a multi-frame network on tracks of the same faces.

    Args:
        model, precision, runtime: name and precision of the network, and what ran it.
        single: name of the network for single frames that it is compared with; "" without one.
        evaluations: camera and number of frames -> metrics.
    """

    model: str
    precision: str
    runtime: str
    single: str
    evaluations: dict[tuple[str, int], TrackEvaluation]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [{"camera": camera, **one.to_dict()} for (camera, _), one in self.evaluations.items()]
        model = {"model": self.model, "precision": self.precision, "engine": self.runtime, "seed": SEED}
        return {**model, "single_frame": self.single or None, "evaluations": rows}


def compare_tracks(
    bundle: Bundle,
    faces: list[Images],
    cameras: Iterable[str] = CAMERAS,
    frames: Iterable[int] = (),
    single: Bundle | None = None,
    *,
    metrics: Mapping[str, Metric] = METRICS,
    engine: str = "auto",
    precision: str | None = None,
    threads: int = 0,
    report: Callable[[int], None] = lambda done: None,
) -> TrackConditions:
    """Evaluate a multi-frame network.

    Args:
        bundle: of the network.
        faces: ground-truth faces, at least 128×128, (H, W, 3) uint8 BGR.
        cameras: keys of `RECORDERS`.
        frames: numbers of frames, 2 to those that the network reads; none for `FRAMES`.
        single: network for single frames to compare with, of the same scale.
        metrics: name -> metric, "psnr_y_db" among them.
        engine: "auto" for ONNX Runtime, or the name of a runtime.
        precision: of both networks; None for that of each card.
        threads: CPU threads per call; 0 for one per core.
        report: called with the number of evaluations done, one for each camera and number of frames.

    Raises:
        UnknownNameError, BundleError, EngineError, InputError, UsageError: see the message.
    """
    names, counts = _checked(bundle, cameras, frames, single)
    engine = "onnxruntime" if engine == "auto" else engine
    with ExitStack() as stack:

        def opened(one: Bundle) -> MultiInputSession:
            return stack.enter_context(closing(open_session(one, engine, threads, precision or one.card.precision)))

        session, other = opened(bundle), opened(single) if single else None
        evaluations: dict[tuple[str, int], TrackEvaluation] = {}
        for name in names:
            (tracks,) = tracks_of(faces, bundle.card.io_spec, {name: RECORDERS[name]}).values()
            for count in counts:
                evaluations[name, count] = evaluate_tracks(session, tracks, count, other, metrics)
                report(len(evaluations))
        runtime = session.runtime
    shown = precision or bundle.card.precision
    return TrackConditions(bundle.card.name, shown, runtime, single.card.name if single else "", evaluations)


def conditions_of(cameras: Iterable[str], frames: Iterable[int], limit: int) -> list[tuple[str, int]]:
    """Cameras and numbers of frames of an evaluation, for a network that reads up to `limit` frames."""
    counts = tuple(dict.fromkeys(frames)) or tuple(count for count in FRAMES if count <= limit) or (limit,)
    return list(product(dict.fromkeys(cameras), counts))


def _checked(
    bundle: Bundle, cameras: Iterable[str], frames: Iterable[int], single: Bundle | None
) -> tuple[list[str], list[int]]:
    """Cameras and numbers of frames, each once; raises as `compare_tracks`."""
    io_spec = bundle.card.io_spec
    conditions = conditions_of(cameras, frames, io_spec.frames)
    for name, count in conditions:
        if name not in RECORDERS:
            raise UnknownNameError("camera", name, RECORDERS)
        if not 2 <= count <= io_spec.frames:
            raise UsageError(f"{bundle.card.name} reads 2 to {io_spec.frames} frames, got {count}; give another number")
    other = single.card.io_spec if single else None
    if single and other and (other.task != io_spec.task or other.scale != io_spec.scale or other.frames > 1):
        raise UsageError(
            f"{single.card.name} is no network for single frames of scale {io_spec.scale}; give another --single-frame"
        )
    return list(dict.fromkeys(name for name, _ in conditions)), list(dict.fromkeys(count for _, count in conditions))
