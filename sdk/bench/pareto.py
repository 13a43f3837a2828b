"""Accuracy against latency of all networks, runtimes and precisions on this machine, and their Pareto frontier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...calibration.metrics.evaluate import (
    BICUBIC,
    common_crop_sizes,
    enlarged,
    lr_hr_pairs,
    padded_to_crop_size,
    upscale_bicubic,
)
from ...calibration.metrics.image import mean_db, psnr_y
from ...calibration.timing import LatencyStats, interleaved, latency_stats
from ...engines.bundle.bundle import Bundle
from ...engines.errors import UsageError
from ...zoo import catalogue
from ..doctor.machine import Machine, busy, load_now, this_machine
from ..evaluation.compare import super_resolution_models
from .configs import Backend, available_backends, convert_model, open_backend, parse_precisions
from .paper import SIDE
from .tables import STATS, RunProgress

RUN_FIELDS = ("when", "load", "scale", "side", "faces", "batch", "threads", "rounds")
OPENCV = "opencv"
"""Engine of the bicubic point."""


@dataclass(frozen=True)
class Point:
    """One network in one runtime and precision."""

    model: str  # zoo name, or "bicubic"
    backend: Backend
    psnr_y_db: float  # mean luma PSNR
    gain_db: float  # luma PSNR minus that of bicubic
    multiply_adds: int  # per face, at the padded input size; 0 for bicubic
    latency_ms: LatencyStats  # of a call, with all faces of the batch

    def dominates(self, other: Point) -> bool:
        """Pareto dominance: no slower and no less accurate, and better in at least one."""
        a, b = (-self.latency_ms.p50, self.gain_db), (-other.latency_ms.p50, other.gain_db)
        return a != b and all(x >= y for x, y in zip(a, b, strict=True))


@dataclass(frozen=True)
class ParetoResult:
    """All points of one run."""

    machine: Machine
    when: str  # start, ISO 8601 with time zone
    load: float | None  # load average of the last minute at the start; None if the system does not report it
    scale: int
    side: int  # of the input faces, in pixels
    faces: str  # name of the evaluation faces
    batch: int  # faces per call
    threads: int  # CPU threads per call; 0 for one per core
    rounds: int
    points: tuple[Point, ...]  # in ascending order of latency
    notes: tuple[str, ...] = ()

    @property
    def frontier(self) -> tuple[Point, ...]:
        """Points that no other point dominates, in ascending order of latency."""
        return tuple(point for point in self.points if not any(other.dominates(point) for other in self.points))

    def to_dict(self) -> dict[str, Any]:
        """For JSON; ms are rounded to 1 µs."""
        run = {name: getattr(self, name) for name in RUN_FIELDS}
        notes = {"degradation": BICUBIC, "notes": list(self.notes)}
        return {"machine": self.machine.to_dict(), **run, **notes, "points": [self._row(p) for p in self.points]}

    def _row(self, point: Point) -> dict[str, Any]:
        return {
            "model": point.model,
            "engine": point.backend.engine,
            "precision": point.backend.precision,
            "psnr_y_db": round(point.psnr_y_db, 4),
            "gain_db": round(point.gain_db, 4),
            "multiply_adds": point.multiply_adds,
            **{f"{name}_ms": ms for name, ms in point.latency_ms.to_dict(STATS).items()},
            "frontier": point in self.frontier,
        }


def models_of(scale: int) -> list[Bundle]:
    """Zoo models of a scale that need no references.

    Raises:
        UsageError: there are none.
    """
    bundles = [catalogue.find(name) for name in super_resolution_models()]
    models = [b for b in bundles if b.card.io_spec.scale == scale and not b.card.io_spec.references]
    if not models:
        raise UsageError(f"no included model has scale {scale}; facesr-edge models lists them")
    return models


def measure_pareto(
    models: Sequence[Bundle],
    faces: Sequence[NDArray[np.uint8]],
    dataset_name: str,
    *,
    precision: str | None = "fp32,int8",
    batch: int = 1,
    threads: int = 0,
    rounds: int = 30,
    report: RunProgress = lambda step, done, total: None,
) -> ParetoResult:
    """Measure accuracy, then latency, all networks interleaved.

    Args:
        models: FP32 networks of one scale.
        faces: ground-truth faces, at least 128×128, (H, W, 3) uint8 BGR.
        dataset_name: name of the faces.
        precision: such as "fp32,int8"; none for all.
        batch: faces per call, at least 1.
        threads: CPU threads per call; 0 for one per core.
        rounds: measured rounds, at least 1.
        report: see `RunProgress`.

    Raises:
        UnknownNameError, UsageError, InputError, BuildError, EngineError, MissingDependencyError: see the message.
    """
    if not models or min(batch, rounds) < 1:
        raise UsageError(f"expected at least 1 model, face and round, got {len(models)}, {batch} and {rounds}")
    from ...converters.macs import macs_of

    machine, load, when = this_machine(), load_now(), datetime.now().astimezone().isoformat(timespec="seconds")
    backends = available_backends(parse_precisions(precision))
    scale = models[0].card.io_spec.scale
    crop_sizes = common_crop_sizes(model.card.io_spec for model in models)
    lr, hr = lr_hr_pairs(list(faces), scale, crop_sizes=crop_sizes)
    side = min(SIDE, lr.shape[1])
    timed = np.ascontiguousarray(lr[np.arange(batch) % len(lr)][:, :side, :side])
    bicubic_db = mean_db(psnr_y(upscale_bicubic(lr, scale), hr))
    measured: list[tuple[str, Backend, float, int]] = [(BICUBIC, Backend(OPENCV, "fp32"), bicubic_db, 0)]
    calls: list[Callable[[], object]] = [lambda: upscale_bicubic(timed, scale)]
    with TemporaryDirectory() as folder, ExitStack() as stack:
        for number, model in enumerate(models):
            report(f"preparing {model.card.name}", number, len(models))
            batch_in = padded_to_crop_size(model.card.io_spec, timed)
            macs = macs_of(model.onnx, batch_in.shape[1])
            bundles = convert_model(model, dict.fromkeys(b.graph_kind for b in backends), Path(folder))
            for backend in backends:
                session = open_backend(bundles[backend.graph_kind], backend, threads, Path(folder))
                if session is None:
                    continue
                stack.callback(session.close)
                measured.append((model.card.name, backend, mean_db(psnr_y(enlarged(session, lr), hr)), macs))
                calls.append(partial(session.infer, batch_in))
        samples = interleaved(calls, rounds, report=lambda done: report("timing", done, rounds))
    points = [
        Point(name, backend, db, db - bicubic_db, macs, latency_stats(ms))
        for (name, backend, db, macs), ms in zip(measured, samples, strict=True)
    ]
    points.sort(key=lambda point: point.latency_ms.p50)
    notes = busy(machine, load)
    return ParetoResult(machine, when, load, scale, side, dataset_name, batch, threads, rounds, tuple(points), notes)
