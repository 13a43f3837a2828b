"""Accounts of a live run, for metrics, health and the page: what became of its faces, and how long it took."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from ..observer import Cycle, Observer
from .latency import Latency, LatencyRecord

if TYPE_CHECKING:
    from ..camera import CameraStatus
    from ..results import LiveResult

MAX_REASONS = 32
"""Kinds of reasons that are counted apart for each camera; others count as "other"."""

_FIGURES = re.compile(r"[:(]|\b(?:by |after )?\d")

FaceKind = tuple[str, str]
"""Treatment, or "skipped", and kind of reason."""


@dataclass(frozen=True, eq=False)
class CameraFigures:
    """Accounts of one camera.

    Args:
        results: number of results.
        faces: number of faces of each treatment and kind of reason.
        frames: number of faces from a network by the number of their crops, see `LiveFace.frames`.
        verdicts: number of faces of each usability verdict.
        ended_tracks: number of tracks that ended.
        age: from arrival to result.
        queue: from arrival to the scheduler.
        compute: from the scheduler to the result.
        camera_clock: from the camera's clock to the result.
        stages: latency of each stage.
        newest: last result; None before the first.
    """

    results: int
    faces: dict[FaceKind, int]
    frames: dict[int, int]
    verdicts: dict[str, int]
    ended_tracks: int
    age: Latency
    queue: Latency
    compute: Latency
    camera_clock: Latency
    stages: dict[str, Latency]
    newest: LiveResult | None

    @property
    def tracks(self) -> int:
        """Number of faces that are followed now."""
        return 0 if self.newest is None else len(self.newest.faces) + len(self.newest.skipped)


@dataclass(frozen=True, eq=False)
class Figures:
    """Accounts of a run up to one moment.

    Args:
        time_s: the moment, on the clock of `time.monotonic`.
        cameras: of each camera that had a result.
        cycles: duration of the turns of the scheduler.
        cycle_stages: latency of each stage of a turn.
        over_budget: number of turns that took longer than planned.
        budget_s: planned duration of a turn; None before the first turn.
        closed: the run ended.
    """

    time_s: float
    cameras: dict[str, CameraFigures]
    cycles: Latency
    cycle_stages: dict[str, Latency]
    over_budget: int
    budget_s: float | None
    closed: bool


class _CameraRecord:
    """Accounts of one camera that go on."""

    def __init__(self) -> None:
        self.results = self.ended_tracks = 0
        self.faces: Counter[FaceKind] = Counter()
        self.frames: Counter[int] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.age, self.queue, self.compute, self.camera_clock = (LatencyRecord() for _ in range(4))
        self.stages: dict[str, LatencyRecord] = {}
        self.newest: LiveResult | None = None

    def add(self, result: LiveResult, now_s: float) -> None:
        times = result.times
        self.results += 1
        self.ended_tracks += len(result.ended_tracks)
        self.age.add(times.age_ms / 1e3, now_s)
        self.queue.add(times.queue_ms / 1e3, now_s)
        self.compute.add(times.compute_ms / 1e3, now_s)
        if (camera_ms := times.camera_ms) is not None:
            self.camera_clock.add(camera_ms / 1e3, now_s)
        _add_stages(self.stages, result.timings_ms, now_s)
        for treatment, reason in _treatments(result):
            key = (treatment, reason_kind(reason))
            known = key in self.faces or len(self.faces) < MAX_REASONS
            self.faces[key if known else (treatment, "other")] += 1
        self.frames.update(face.frames for face in result.faces if face.by_network)
        self.verdicts.update(face.usability.verdict for face in result.faces)
        self.newest = result

    def at(self, now_s: float) -> CameraFigures:
        return CameraFigures(
            self.results,
            dict(self.faces),
            dict(self.frames),
            dict(self.verdicts),
            self.ended_tracks,
            self.age.at(now_s),
            self.queue.at(now_s),
            self.compute.at(now_s),
            self.camera_clock.at(now_s),
            {name: record.at(now_s) for name, record in self.stages.items()},
            self.newest,
        )


class Monitor(Observer):
    """Observes a live run and keeps its accounts in memory that does not grow; may be read from any thread.

    Args:
        clock: seconds on the clock of the run.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._cameras: dict[str, _CameraRecord] = {}
        self._cycles = LatencyRecord()
        self._cycle_stages: dict[str, LatencyRecord] = {}
        self._over_budget = 0
        self._budget_s: float | None = None
        self._closed = False

    def changed(self, status: CameraStatus) -> None:
        """See `Observer.changed`."""
        with self._lock:
            self._cameras.setdefault(status.name, _CameraRecord())

    def done(self, result: LiveResult) -> None:
        """See `Observer.done`."""
        with self._lock:
            self._cameras.setdefault(result.camera, _CameraRecord()).add(result, self._clock())

    def cycled(self, cycle: Cycle) -> None:
        """See `Observer.cycled`."""
        with self._lock:
            now_s, duration_s = self._clock(), cycle.end_s - cycle.start_s
            self._cycles.add(duration_s, now_s)
            _add_stages(self._cycle_stages, cycle.stages_ms, now_s)
            self._budget_s = max(0.0, cycle.budget_ms / 1e3)  # below 0 if the frame was late already
            self._over_budget += duration_s > self._budget_s

    def close(self) -> None:
        """See `Observer.close`."""
        with self._lock:
            self._closed = True

    def figures(self) -> Figures:
        """The accounts up to now."""
        with self._lock:
            now_s = self._clock()
            return Figures(
                now_s,
                {name: record.at(now_s) for name, record in self._cameras.items()},
                self._cycles.at(now_s),
                {name: record.at(now_s) for name, record in self._cycle_stages.items()},
                self._over_budget,
                self._budget_s,
                self._closed,
            )

    def newest(self, camera: str) -> tuple[int, LiveResult | None]:
        """Number of results of a camera, and the last one."""
        with self._lock:
            record = self._cameras.get(camera)
            return (0, None) if record is None else (record.results, record.newest)


def reason_kind(reason: str) -> str:
    """A reason without its figures: "over budget" of "over budget: 3.1 ms left", "grown" of "grown by 30%"."""
    return _FIGURES.split(reason, maxsplit=1)[0].strip()


def _treatments(result: LiveResult) -> Iterator[tuple[str, str]]:
    yield from ((face.treatment, face.reason) for face in result.faces)
    yield from (("skipped", face.reason) for face in result.skipped)


def _add_stages(stages: dict[str, LatencyRecord], timings_ms: dict[str, float], now_s: float) -> None:
    for name, ms in timings_ms.items():
        if name != "total":
            stages.setdefault(name, LatencyRecord()).add(ms / 1e3, now_s)
