"""Workload of a recorded run: the frames of its cameras, their faces, and how those change."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....engines.errors import InputError
from ...pipeline.crop import MARGIN as CROP_MARGIN
from ..scheduling.plan import LOST, MAX_LEVELS, REFRESH_S, REUSE_LEVELS
from .machine_costs import MachineCosts, kinds_of, known_costs, machine_costs
from .recording import RecordedFace, RecordedResult, Recording

WARM_UP_S = 3.0
"""Beginning of a run that is left out: engines are prepared at their first calls."""
MAX_S = 300.0
"""End of a run that is simulated."""
MIN_RESULTS = 20
SIDES = (32, 48, 64, 80, 96, 112, 128)
"""Crop sizes of a recording that does not name those of its engine."""
NEEDS_NETWORK = (REUSE_LEVELS + MAX_LEVELS) / 2
"""Change of a face that needs the network, and can be moved without it."""

_CHANGED = re.compile(r"changed by ([\d.]+) gray levels(?: in ([\d.]+) s)?")
_SHARPER = re.compile(r"sharper by (\d+)%")
_GROWN = re.compile(r"grown by (\d+)%")


@dataclass(frozen=True)
class Observation:
    """How much a face had changed some time after the network upscaled it, see `Need`."""

    age_s: float
    change: float
    growth: float = 1.0
    sharpness: float = 1.0
    still: bool = False


class SeenFace(NamedTuple):
    """A face of a frame: its track, crop size in pixels, and whether the detector did not find it."""

    track: int
    side: int
    lost: bool = False


@dataclass(frozen=True, eq=False)
class CameraLoad:
    """The frames of a camera.

    Args:
        arrivals_s: of all frames, ascending.
        seen_s: of the frames whose faces are known, ascending.
        faces: of these frames.
        size_wh: of the frames, pixels.
        detect_ms: times of its detections; at least one.
        observations: track, or None for the camera -> observations, by age.
    """

    arrivals_s: tuple[float, ...]
    seen_s: tuple[float, ...]
    faces: tuple[tuple[SeenFace, ...], ...]
    size_wh: tuple[int, int]
    detect_ms: NDArray[np.float64]
    observations: Mapping[int | None, tuple[Observation, ...]]

    def faces_at(self, time_s: float) -> tuple[SeenFace, ...]:
        """Faces of the known frame nearest in time."""
        after = bisect_left(self.seen_s, time_s)
        near = range(max(0, after - 1), min(len(self.seen_s), after + 1))
        return self.faces[min(near, key=lambda n: abs(self.seen_s[n] - time_s))]


@dataclass(frozen=True, eq=False)
class Workload:
    """Workload of a run.

    Args:
        cameras: their frames.
        costs: of the work.
        results: recorded results after the warm-up.
        start_s, end_s: of the time that is simulated.
        budget_ms: of the run; None if it is not recorded.
    """

    cameras: tuple[CameraLoad, ...]
    costs: MachineCosts
    results: tuple[RecordedResult, ...]
    start_s: float
    end_s: float
    budget_ms: float | None


def workload_of(recording: Recording) -> Workload:
    """Take the workload from a recording.

    Raises:
        InputError: the recording is too short, or one of files.
    """
    if recording.cycles and all(cycle.budget_ms is None for cycle in recording.cycles):
        raise InputError("the recording is one of files, which wait; expected one of live cameras")
    start_s, end_s = recording.span_s
    start_s = min((result.arrival_s for result in recording.results), default=start_s)  # before, engines are measured
    if end_s - start_s > 3 * WARM_UP_S:
        start_s = max(start_s + WARM_UP_S, end_s - MAX_S)
    results = tuple(result for result in recording.results if result.arrival_s >= start_s)
    if len(results) < MIN_RESULTS:
        raise InputError(f"the recording has {len(results)} results, expected at least {MIN_RESULTS}; record longer")
    about = recording.head["about"]
    known = known_costs(recording.costs)
    near = min(recording.costs, key=lambda record: abs(record.at_s - start_s), default=None)
    sides = tuple(sorted({side for _, side in known})) or SIDES
    numbers = sorted({result.camera for result in results})
    cameras = tuple(_camera(recording, number, start_s, end_s, sides) for number in numbers)
    budget = about.get("budget_ms")
    budget_ms = float(budget) if isinstance(budget, int | float) and budget > 0 else None
    return Workload(
        cameras,
        machine_costs(results, known, kinds_of(near) if near else {}, sides),
        results,
        start_s,
        end_s,
        budget_ms,
    )


def _camera(recording: Recording, number: int, start_s: float, end_s: float, sides: tuple[int, ...]) -> CameraLoad:
    results = sorted((r for r in recording.results if r.camera == number), key=lambda result: result.arrival_s)
    inside = [result for result in results if result.arrival_s >= start_s]
    arrivals = {time_s for time_s in recording.arrivals.get(number, ()) if time_s >= start_s}
    arrivals |= {result.arrival_s for result in inside}
    detect_ms = [result.stages_ms.get("detect", 0.0) for result in inside if result.detection]
    return CameraLoad(
        tuple(sorted(arrivals)),
        tuple(result.arrival_s for result in inside),
        tuple(tuple(_seen(result, sides)) for result in inside),
        inside[-1].size_wh,
        np.array(detect_ms or [0.0]),
        _observations(results),
    )


def _seen(result: RecordedResult, sides: tuple[int, ...]) -> Iterator[SeenFace]:
    """The faces that could be upscaled."""
    for face in result.faces:
        if face.treatment != "skipped":
            yield SeenFace(face.track, face.side, face.reason == LOST)
        elif face.reason != "too large":
            side = next((side for side in sides if side >= CROP_MARGIN * face.side), sides[-1])
            yield SeenFace(face.track, side, face.reason == LOST)


def _observations(results: Sequence[RecordedResult]) -> dict[int | None, tuple[Observation, ...]]:
    kept_s: dict[int, float] = {}
    since: dict[tuple[int, float | None], list[Observation]] = defaultdict(list)
    for result in results:
        for face in result.faces:
            age_s = result.arrival_s - kept_s[face.track] if face.track in kept_s else None
            if observation := observed(face, age_s):
                since[face.track, kept_s.get(face.track)].append(observation)
            if face.treatment in ("network", "small network"):
                kept_s[face.track] = result.arrival_s
    found: dict[int | None, list[Observation]] = defaultdict(list)
    for (track, _), some in since.items():  # a face that is still at last has been so since the network upscaled it
        still = any(one.still for one in some)
        for key in (track, None):
            found[key] += [replace(one, still=still) for one in some]
    return {track: tuple(sorted(some, key=lambda one: one.age_s)) for track, some in found.items()}


def observed(face: RecordedFace, age_s: float | None) -> Observation | None:
    """What the reason of `plan` for a treatment tells about the face; nothing if the detector did not find it.

    Args:
        face: with its treatment.
        age_s: time since the network upscaled it; None if it did not.
    """
    reason = face.reason
    changed, grown, sharper = _CHANGED.search(reason), _GROWN.search(reason), _SHARPER.search(reason)
    if changed and changed[2]:
        age_s = float(changed[2])
        return Observation(age_s, float(changed[1]), still=age_s > REFRESH_S)  # one that moves is refreshed
    if age_s is None:
        return None
    if changed:
        return Observation(age_s, float(changed[1]))
    if "not found" in reason:
        return Observation(age_s, math.inf)
    if grown:
        return Observation(age_s, REUSE_LEVELS, 1 + int(grown[1]) / 100)
    if sharper:
        return Observation(age_s, REUSE_LEVELS, 1.0, 1 + int(sharper[1]) / 100)
    if "by the small network" in reason:  # its change is not told, only whether it can be moved
        return Observation(age_s, 2 * MAX_LEVELS if face.treatment == "bicubic" else NEEDS_NETWORK)
    return Observation(age_s, REUSE_LEVELS / 2) if "refreshed" in reason else None
