"""Measured capacity: real runs of simulated cameras with recorded arrivals, to check a prediction."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bench.scenes import Portrait
from ...bench.walkers import make_view
from ...pipeline.frame import Frame
from ..camera import Camera, CameraOptions
from ..live import Live, live
from ..observer import Observer
from ..results import LiveResult
from .outcome import Outcome
from .summary import OVER_BUDGET
from .workload import WARM_UP_S, CameraLoad, Workload

SECONDS = 15.0
"""Measured time of one number of cameras."""
READY_S = 60.0
"""Maximum wait for the engines."""
VIEWS = 3
"""Views that are drawn before; cameras share them at different times."""
FRAMES = 40
"""Frames of a view; shown forward and backward in turn."""
TRIES = 4
"""Numbers of cameras that are measured at most around the prediction."""


@dataclass(frozen=True)
class Measured:
    """What real runs tell about a prediction.

    Args:
        predicted: number of cameras that fit, by simulation; None if it was not searched.
        at_least: number that fitted in real runs; 0 if none did.
        at_most: largest number below those that did not fit; None if all did.
        rows: of the real runs.
    """

    predicted: int | None
    at_least: int
    at_most: int | None
    rows: tuple[Outcome, ...]

    @property
    def error(self) -> int | None:
        """Cameras that were predicted too many, at least; negative for too few."""
        if self.predicted is None:
            return None
        nearest = max(self.predicted, self.at_least)
        return self.predicted - (nearest if self.at_most is None else min(nearest, self.at_most))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [row.to_dict() for row in self.rows]
        measured = {"at_least": self.at_least, "at_most": self.at_most}
        return {"predicted": self.predicted, **measured, "error": self.error, "rows": rows}


def measure_capacity(
    predicted: int, measure: Callable[[int], Outcome], fits: Callable[[Outcome], bool], tries: int = TRIES
) -> Measured:
    """Search the number of cameras that really fits, from the predicted one on, in doubled, then halved steps.

    Args:
        predicted: by simulation.
        measure: runs a number of cameras.
        fits: whether an outcome keeps the limits.
        tries: maximum number of runs; if they do not suffice, the result is a range.
    """
    rows: list[Outcome] = []
    at_least, too_many, cameras, step = 0, math.inf, max(1, predicted), 1
    while len(rows) < tries and too_many - at_least > 1:
        rows.append(measure(cameras))
        if fits(rows[-1]):
            at_least = cameras
        else:
            too_many = cameras
        if at_least and too_many < math.inf:
            cameras = int(at_least + too_many) // 2
        else:
            cameras, step = max(1, cameras + (step if at_least else -step)), 2 * step
    return Measured(predicted, at_least, None if too_many == math.inf else int(too_many) - 1, tuple(rows))


def measure(
    workload: Workload,
    cameras: int,
    portraits: Sequence[Portrait],
    budget_ms: float,
    *,
    seconds: float = SECONDS,
    **settings: Any,
) -> Outcome:
    """Run simulated cameras whose frames come when those of the recording came, with as many walking faces.

    Args:
        workload: see `workload_of`; more cameras than were recorded are repetitions at other times.
        cameras: number of cameras.
        portraits: faces of the walkers.
        budget_ms: see `live`.
        seconds: measured time, after a warm-up.
        settings: further arguments of `live`.
    """
    views = [_pixels(load, portraits, seed) for seed, load in enumerate(workload.cameras[:VIEWS])]
    start = _Start()
    sources = [
        Camera(
            _frames(workload, number, views, start, WARM_UP_S + seconds),
            CameraOptions(policy="newest", frozen_s=1e9),
            name=f"camera {number + 1}",
        )
        for number in range(cameras)
    ]
    tally = _Tally()
    try:
        with live(sources, budget_ms=budget_ms, observers=[tally], **settings) as run:
            _wait_for_engines(run)
            start.go()
            tally.begin_s = start.time_s + WARM_UP_S
            run.run()
    finally:
        start.stop()
    return tally.outcome(cameras, seconds)


def _wait_for_engines(run: Live) -> None:
    """Until the scheduler looks for frames: before, it measures its engines."""
    begin_s, created_s = time.monotonic(), run.last_turn_s
    while run.last_turn_s == created_s and time.monotonic() < begin_s + READY_S:
        time.sleep(0.02)


class _Start:
    """The time at which all cameras begin, once the engines are ready."""

    def __init__(self) -> None:
        self.time_s = float("inf")

    def go(self) -> None:
        self.time_s = time.monotonic() + 1.0

    def stop(self) -> None:
        """Let nobody wait any longer."""
        self.time_s = float("-inf")


def _pixels(load: CameraLoad, portraits: Sequence[Portrait], seed: int) -> list[NDArray[np.uint8]]:
    faces = round(float(np.mean([len(faces) for faces in load.faces])))
    rate = (len(load.arrivals_s) - 1) / max(1e-9, float(np.ptp(load.arrivals_s)))
    view = make_view(portraits, faces, seed=seed, size_wh=load.size_wh, rate=max(1.0, rate))
    return [frame.pixels for frame in view.frames(FRAMES)]


def _frames(
    workload: Workload, number: int, views: Sequence[list[NDArray[np.uint8]]], start: _Start, seconds: float
) -> Iterator[Frame]:
    """Frames at the recorded times; those of a repetition are shifted."""
    load, pixels = workload.cameras[number % len(workload.cameras)], views[number % len(views)]
    period_s = workload.end_s - workload.start_s
    shift_s = period_s * (number // len(workload.cameras)) * (5**0.5 - 1) / 2
    times_s = sorted((time_s - workload.start_s + shift_s) % period_s for time_s in load.arrivals_s)
    laps = int(seconds / period_s) + 1
    for n, time_s in enumerate(lap * period_s + time_s for lap in range(laps) for time_s in times_s):
        if time_s > seconds:
            return
        while (wait_s := start.time_s + time_s - time.monotonic()) > 0:
            time.sleep(min(wait_s, 0.05))
        turn = (n + 7 * number) % (2 * FRAMES - 2)
        yield Frame(pixels[turn if turn < FRAMES else 2 * FRAMES - 2 - turn], n, time_s)


class _Tally(Observer):
    """Counts after the warm-up."""

    def __init__(self) -> None:
        self.begin_s = float("inf")
        self._arrivals, self._counting = 0, Lock()
        self._ages: list[float] = []
        self._treatments: Counter[str] = Counter()
        self._over_budget = 0
        self._busy: dict[float, float] = {}

    def arrived(self, camera: str, time_s: float) -> None:
        """See `Observer`."""
        with self._counting:
            self._arrivals += time_s >= self.begin_s

    def done(self, result: LiveResult) -> None:
        """See `Observer`."""
        times = result.times
        if times.arrival_s < self.begin_s:
            return
        self._ages.append(times.age_ms)
        self._busy[times.done_s] = min(times.taken_s, self._busy.get(times.done_s, times.taken_s))
        skipped = [face.reason for face in result.skipped if face.reason.startswith(OVER_BUDGET)]
        self._treatments.update(str(face.treatment) for face in result.faces)
        self._treatments.update({"skipped": len(skipped)})
        self._over_budget += len(skipped) + sum(face.reason.startswith(OVER_BUDGET) for face in result.faces)

    def outcome(self, cameras: int, seconds: float) -> Outcome:
        """What came out; a run without any result is infinitely late."""
        ages = tuple(self._ages) or (float("inf"),)
        busy_s = sum(done_s - taken_s for done_s, taken_s in self._busy.items())
        treatments = {name: count for name, count in self._treatments.items() if count}
        return Outcome(
            cameras, ages, self._arrivals, seconds, treatments, self._over_budget, min(1.0, busy_s / seconds)
        )
