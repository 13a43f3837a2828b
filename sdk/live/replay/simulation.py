"""A live run simulated event by event: the recorded frames and costs, and the planner of the real scheduler."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np

from ..scheduling.costs import Costs
from ..scheduling.plan import LOST, MAX_LEVELS, Choice, Need, due_for_detection, plan
from ..scheduling.scheduler import turn_deadline_s
from ..scheduling.turn import DETECT_SHARE, MARGIN
from .machine_costs import WORKS
from .outcome import Outcome, pooled
from .summary import OVER_BUDGET
from .workload import NEEDS_NETWORK, CameraLoad, Observation, SeenFace, Workload

NEAREST = 20
"""Observations of about the same age from which the change of a face is drawn."""
SEEDS = 3
WAKE_MS = 0.2
"""From the arrival of a frame to the start of an idle scheduler."""
UNKNOWN = Observation(0.0, NEEDS_NETWORK)
"""Of a face about which the recording tells nothing: it needs the network."""
_TrackId = tuple[int, int]
"""Repetition of the recording, and track in it."""


def simulate(
    workload: Workload, budget_ms: float, *, cameras: int | None = None, speed: float = 1.0, seeds: int = SEEDS
) -> Outcome:
    """Run the recorded cameras again, or another number of them, on the same machine or a faster one.

    Args:
        workload: see `workload_of`.
        budget_ms: from arrival to result.
        cameras: number; more than were recorded are repetitions at other times. None for those recorded.
        speed: ratio of the machine's speed to that of the recording.
        seeds: number of runs with other random choices, which are pooled.
    """
    count = len(workload.cameras) if cameras is None else cameras
    return pooled([_simulate(workload, budget_ms, count, speed, seed) for seed in range(seeds)])


def _simulate(workload: Workload, budget_ms: float, cameras: int, speed: float, seed: int) -> Outcome:
    rng = np.random.default_rng(seed)
    streams = [_stream(workload, number, rng) for number in range(cameras)]
    return _Simulation(streams, workload, budget_ms, speed, rng).run()


@dataclass(eq=False)
class _Stream:
    """A simulated camera."""

    load: CameraLoad
    shift_s: float
    times_s: list[float]
    origin_s: float
    period_s: float
    next: int = 0
    detected_s: float = -math.inf
    uncertain: bool = True
    kept: dict[_TrackId, tuple[float, bool]] = field(default_factory=dict)

    def waiting_s(self, time_s: float) -> float:
        """See `Stream.waiting_s`."""
        return math.inf if self.uncertain else max(0.0, time_s - self.detected_s)

    def faces_at(self, time_s: float) -> list[tuple[_TrackId, SeenFace]]:
        """The faces; a repetition of the recording does not continue their tracks."""
        lap, recorded_s = divmod(time_s - self.origin_s - self.shift_s, self.period_s)
        faces = self.load.faces_at(self.origin_s + recorded_s)
        return [((int(lap), face.track), face) for face in faces]


@dataclass(frozen=True, eq=False)
class _Frame:
    stream: _Stream
    arrival_s: float


def _stream(workload: Workload, number: int, rng: np.random.Generator) -> _Stream:
    """A recorded camera, or its repetition shifted by a random time."""
    load, period_s = workload.cameras[number % len(workload.cameras)], workload.end_s - workload.start_s
    shift_s = 0.0 if number < len(workload.cameras) else float(rng.uniform(0.1, 0.9)) * period_s
    times_s = sorted(workload.start_s + (time_s - workload.start_s + shift_s) % period_s for time_s in load.arrivals_s)
    return _Stream(load, shift_s, times_s, workload.start_s, period_s)


class _Simulation:
    def __init__(
        self,
        streams: Sequence[_Stream],
        workload: Workload,
        budget_ms: float,
        speed: float,
        rng: np.random.Generator,
    ) -> None:
        self._streams, self._rng, self._speed, self._budget_ms = streams, rng, speed, budget_ms
        self._duration_s, self._machine = workload.end_s - workload.start_s, workload.costs
        self._costs = Costs({kind: ms / speed for kind, ms in self._machine.estimates_ms.items()})
        for stream in streams:
            self._costs.add(("detect", id(stream)), float(stream.load.detect_ms.mean()) / speed)
        self._has_small = any(ms > 0 for (work, _), ms in self._machine.face_ms.items() if work == "small network")
        self._now_s, self._busy_s = workload.start_s, 0.0
        self._credit_ms = self._dearest_ms = 0.0
        self._ages: list[float] = []
        self._treatments: Counter[str] = Counter()
        self._over_budget = 0

    def run(self) -> Outcome:
        while True:
            frames = self._take()
            if frames:
                start_s = self._now_s
                self._turn(frames)
                self._busy_s += self._now_s - start_s
                continue
            coming = [stream.times_s[stream.next] for stream in self._streams if stream.next < len(stream.times_s)]
            if not coming:
                break
            self._now_s = min(coming) + WAKE_MS / 1e3
        return Outcome(
            len(self._streams),
            tuple(self._ages),
            sum(len(stream.times_s) for stream in self._streams),
            self._duration_s,
            dict(self._treatments.most_common()),
            self._over_budget,
            min(1.0, self._busy_s / self._duration_s),
        )

    def _take(self) -> list[_Frame]:
        """The newest frame of each camera."""
        frames = []
        for stream in self._streams:
            arrived = bisect_right(stream.times_s, self._now_s, stream.next)
            if arrived > stream.next:
                frames.append(_Frame(stream, stream.times_s[arrived - 1]))
                stream.next = arrived
        return frames

    def _turn(self, frames: Sequence[_Frame]) -> None:
        """See `Turn`: what is computed there is waited for here."""
        machine = self._machine
        self._wait(machine.frame_ms * len(frames))
        budget_s = self._budget_ms / 1e3
        deadline_s = turn_deadline_s(min(frame.arrival_s for frame in frames), self._now_s, budget_s)
        self._detect(frames, deadline_s)
        faces = [(frame, *found) for frame in frames for found in frame.stream.faces_at(frame.arrival_s)]
        self._wait(machine.crop_frame_ms * len(frames) + machine.crop_face_ms * len(faces))
        needs = [self._need(*face) for face in faces]
        left_ms = MARGIN * 1e3 * (deadline_s - self._now_s)
        choices = plan(needs, left_ms, self._costs, self._has_small)
        self._upscale(faces, choices)
        self._costs.end_turn()
        self._wait(machine.turn_ms)
        self._ages += [1e3 * (self._now_s - frame.arrival_s) for frame in frames]
        self._wait(machine.gap_ms)

    def _detect(self, frames: Sequence[_Frame], deadline_s: float) -> None:
        self._credit_ms += DETECT_SHARE * MARGIN * 1e3 * max(0.0, deadline_s - self._now_s)
        costs_ms = [self._costs["detect", id(frame.stream)] for frame in frames]
        waiting_s = [frame.stream.waiting_s(frame.arrival_s) for frame in frames]
        self._dearest_ms = max(self._dearest_ms, *costs_ms)
        due, self._credit_ms = due_for_detection(waiting_s, costs_ms, self._credit_ms, self._dearest_ms)
        for n in due:
            stream = frames[n].stream
            stream.detected_s, stream.uncertain = frames[n].arrival_s, False
            ms = float(self._rng.choice(stream.load.detect_ms))
            self._wait(ms)
            self._costs.add(("detect", id(stream)), ms / self._speed)

    def _need(self, frame: _Frame, track: _TrackId, face: SeenFace) -> Need:
        stream = frame.stream
        if track not in stream.kept:
            return Need(face.side)
        kept_s, by_small = stream.kept[track]
        age_s = max(0.0, frame.arrival_s - kept_s)
        seen = self._observation(stream.load, face.track, age_s)
        if seen.change > MAX_LEVELS and stream.detected_s != frame.arrival_s and not face.lost:
            stream.uncertain = True
        return Need(face.side, seen.change, age_s, seen.growth, seen.sharpness, by_small, seen.still, face.lost)

    def _observation(self, load: CameraLoad, track: int, age_s: float) -> Observation:
        """Of the same track at about the same age, or else of another track of its camera."""
        some = load.observations.get(track, ())
        if len(some) < NEAREST:
            some = load.observations.get(None, ())
        if not some:
            return UNKNOWN
        after = bisect_left(some, age_s, key=attrgetter("age_s"))
        first = max(0, min(after - NEAREST // 2, len(some) - NEAREST))
        return some[first + int(self._rng.integers(min(NEAREST, len(some))))]

    def _upscale(self, faces: Sequence[tuple[_Frame, _TrackId, SeenFace]], choices: Sequence[Choice]) -> None:
        noise = float(self._rng.choice(self._machine.noise))
        groups: Counter[tuple[str, int]] = Counter()
        for (frame, track, face), choice in zip(faces, choices, strict=True):
            if choice == Choice("skipped", LOST):  # it needs nothing
                continue
            self._treatments[choice.treatment] += 1
            self._over_budget += choice.reason.startswith(OVER_BUDGET)
            if choice.treatment in ("network", "small network"):
                frame.stream.kept[track] = frame.arrival_s, choice.treatment == "small network"
            if choice.treatment != "skipped":
                groups[WORKS[choice.treatment], face.side] += 1
        moved_ms = others_ms = 0.0  # outputs are moved while the networks run
        for (work, side), count in groups.items():
            ms = self._machine.face_ms.get((work, side), 0.0) * noise
            self._costs.add((work, side), ms / self._speed)
            moved_ms += ms * count * (work == "reuse")
            others_ms += ms * count * (work != "reuse")
        self._wait(max(moved_ms, others_ms))

    def _wait(self, ms: float) -> None:
        """Let the time pass that the work takes on the recorded machine, or less on a faster one."""
        self._now_s += ms / self._speed / 1e3
