"""Quality against time: every network in every runtime and precision of this machine, and what nothing beats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...calibration.metrics.evaluate import BICUBIC, enlarged, enlarged_by_bicubic, fitted, lr_hr_pairs
from ...calibration.metrics.image import mean_db, psnr_y
from ...calibration.timing import LatencyStats, interleaved, latency_stats
from ...engines.bundle.bundle import Bundle
from ...engines.errors import UsageError
from ...zoo import catalogue
from ..doctor.machine import Machine, busy, load_now, this_machine
from ..evaluation.compare import super_resolution_models
from .configs import Backend, backends, of_model, opened, select_backends
from .paper import SIDE

ABOUT = ("when", "load", "scale", "side", "faces", "batch", "threads", "rounds")
OPENCV = "opencv"
"""Engine of the point that is bicubic."""
Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Point:
    """One network in one runtime and precision.

    Args:
        model: of the zoo, or "bicubic".
        who: ran it.
        psnr_y_db: mean on the luma.
        gain_db: that over bicubic.
        multiply_adds: for one face, padded where the network needs that; 0 where nothing was counted.
        taken: ms of a call, with all the faces of the batch.
    """

    model: str
    who: Backend
    psnr_y_db: float
    gain_db: float
    multiply_adds: int
    taken: LatencyStats

    def beats(self, other: Point) -> bool:
        """Whether it is no slower and no worse, and one of the two better."""
        mine, theirs = (-self.taken.p50, self.gain_db), (-other.taken.p50, other.gain_db)
        return mine != theirs and all(a >= b for a, b in zip(mine, theirs, strict=True))


@dataclass(frozen=True)
class ParetoResult:
    """All points of one run.

    Args:
        machine: that it was measured on.
        when: it began, ISO 8601 with its zone.
        load: processes that wanted a core when it began; none where the system does not say.
        scale: of the networks.
        side: of the small faces, in pixels.
        faces: that quality was measured on, in words.
        batch: faces of a call.
        threads: CPU threads of a call; 0 for one a core.
        rounds: that were counted.
        points: the quickest first.
        notes: what there is to say besides.
    """

    machine: Machine
    when: str
    load: float | None
    scale: int
    side: int
    faces: str
    batch: int
    threads: int
    rounds: int
    points: tuple[Point, ...]
    notes: tuple[str, ...] = ()

    @property
    def frontier(self) -> tuple[Point, ...]:
        """The points that none beats, the quickest first."""
        return tuple(point for point in self.points if not any(other.beats(point) for other in self.points))

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: ms to the microsecond."""
        about = {name: getattr(self, name) for name in ABOUT}
        notes = {"degradation": BICUBIC, "notes": list(self.notes)}
        return {"machine": self.machine.to_dict(), **about, **notes, "points": [self._row(p) for p in self.points]}

    def _row(self, point: Point) -> dict[str, Any]:
        return {
            "model": point.model,
            "engine": point.who.engine,
            "precision": point.who.precision,
            "psnr_y_db": round(point.psnr_y_db, 4),
            "gain_db": round(point.gain_db, 4),
            "multiply_adds": point.multiply_adds,
            **{f"{name}_ms": round(ms, 3) for name, ms in asdict(point.taken).items()},
            "frontier": point in self.frontier,
        }


def models_of(scale: int) -> list[Bundle]:
    """The zoo's networks of a scale that borrow from no references.

    Raises:
        UsageError: there are none.
    """
    bundles = [catalogue.find(name) for name in super_resolution_models()]
    found = [b for b in bundles if b.card.io_spec.scale == scale and not b.card.io_spec.references]
    if not found:
        raise UsageError(f"no model that ships enlarges by {scale}; facesr-edge models lists them")
    return found


def measure(
    models: Sequence[Bundle],
    faces: Sequence[NDArray[np.uint8]],
    whose: str,
    *,
    precision: str | None = "fp32,int8",
    batch: int = 1,
    threads: int = 0,
    rounds: int = 30,
    watch: Watch = lambda what, done, total: None,
) -> ParetoResult:
    """Measure quality, then time, all of them in turn.

    Args:
        models: networks of one scale, in FP32.
        faces: true faces, each at least 128×128, (H, W, 3) uint8 BGR.
        whose: what to call the faces.
        precision: such as "fp32,int8"; none for all.
        batch: faces of a call, 1 or more.
        threads: CPU threads of a call; 0 for one a core.
        rounds: that are counted, 1 or more.
        watch: told what is going on, how much of it is done, and of how much.

    Raises:
        UnknownNameError, UsageError, InputError, BuildError, EngineError, MissingDependencyError: the text says what.
    """
    if not models or min(batch, rounds) < 1:
        raise UsageError(f"expected 1 model, face and round or more, got {len(models)}, {batch} and {rounds}")
    machine, load, when = this_machine(), load_now(), datetime.now().astimezone().isoformat(timespec="seconds")
    who = backends(select_backends(precision))
    scale = models[0].card.io_spec.scale
    small, true = lr_hr_pairs(list(faces), scale)
    side = min(SIDE, small.shape[1])
    timed = np.ascontiguousarray(small[np.arange(batch) % len(small)][:, :side, :side])
    bicubic = mean_db(psnr_y(enlarged_by_bicubic(small, scale), true))
    found: list[tuple[str, Backend, float, int]] = [(BICUBIC, Backend(OPENCV, "fp32"), bicubic, 0)]
    calls: list[Callable[[], object]] = [lambda: enlarged_by_bicubic(timed, scale)]
    with TemporaryDirectory() as folder, ExitStack() as open_ones:
        for number, model in enumerate(models):
            watch(f"preparing {model.card.name}", number, len(models))
            given = fitted(model.card.io_spec, timed)
            counted = _multiply_adds(model, given.shape[1])
            bundles = of_model(model, dict.fromkeys(one.kind for one in who), Path(folder))
            for one in who:
                session = opened(bundles[one.kind], one, threads, Path(folder))
                if session is None:
                    continue
                open_ones.callback(session.close)
                quality = mean_db(psnr_y(enlarged(session, small), true))
                found.append((model.card.name, one, quality, counted))
                calls.append(partial(session.infer, given))
        taken = interleaved(calls, rounds, watch=lambda done: watch("timing", done, rounds))
    points = [
        Point(name, one, quality, quality - bicubic, macs, latency_stats(ms))
        for (name, one, quality, macs), ms in zip(found, taken, strict=True)
    ]
    points.sort(key=lambda point: point.taken.p50)
    notes = busy(machine, load)
    return ParetoResult(machine, when, load, scale, side, whose, batch, threads, rounds, tuple(points), notes)


def _multiply_adds(model: Bundle, side: int) -> int:
    from ...converters.macs import macs_of

    return macs_of(model.onnx, side)
