"""What a recorded run asks of a machine: the frames and faces of its cameras, and what the work costs there."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....engines.errors import InputError
from ...pipeline.crop import MARGIN as CROP_MARGIN
from ..scheduling.plan import MAX_LEVELS, REUSE_LEVELS
from .recording import RecordedCosts, RecordedFace, RecordedResult, Recording

WARM_UP_S = 3.0
"""Beginning of a run that is left out: engines are prepared at their first calls."""
MAX_S = 300.0
"""End of a run that is simulated."""
MIN_RESULTS = 20
SIDES = (32, 48, 64, 80, 96, 112, 128)
"""Crop sizes of a recording that does not name those of its engine."""
NETWORKS = {"network": "network", "small network": "small network", "reused": "reuse", "bicubic": "bicubic"}
"""Treatment -> name of its cost, see `Turn`."""
ROUNDS = 5
MAX_NOISE = 20.0
MIN_FITTED_MS = 1.0
"""Turns that take less tell nothing about noise."""
TRIM = 99.0
"""Percentile of the turns' times above which they are left out of the fit: the process slept."""

NEEDS_NETWORK = (REUSE_LEVELS + MAX_LEVELS) / 2
"""Change of a face that needs the network, and can be moved without it."""

_CHANGED = re.compile(r"changed by ([\d.]+) gray levels(?: in ([\d.]+) s)?")
_SHARPER = re.compile(r"sharper by (\d+)%")
_GROWN = re.compile(r"grown by (\d+)%")
_COST = re.compile(r"\('([a-z ]+)', (\d+)\)")
Kind = tuple[str, int]


@dataclass(frozen=True)
class Observation:
    """How much a face had changed some time after the network upscaled it, see `Need`."""

    age_s: float
    change: float
    growth: float = 1.0
    sharpness: float = 1.0


@dataclass(frozen=True, eq=False)
class CameraLoad:
    """The frames of a camera.

    Args:
        arrivals_s: of all frames, ascending.
        seen_s: of the frames whose faces are known, ascending.
        faces: track and crop size of each face of these frames.
        size_wh: of the frames, pixels.
        detect_ms: times of its detections; at least one.
        observations: track, or None for the camera -> observations, by age.
    """

    arrivals_s: tuple[float, ...]
    seen_s: tuple[float, ...]
    faces: tuple[tuple[tuple[int, int], ...], ...]
    size_wh: tuple[int, int]
    detect_ms: NDArray[np.float64]
    observations: Mapping[int | None, tuple[Observation, ...]]

    def faces_at(self, time_s: float) -> tuple[tuple[int, int], ...]:
        """Track and crop size of each face of the known frame nearest in time."""
        after = bisect_left(self.seen_s, time_s)
        near = range(max(0, after - 1), min(len(self.seen_s), after + 1))
        return self.faces[min(near, key=lambda n: abs(self.seen_s[n] - time_s))]


@dataclass(frozen=True, eq=False)
class MachineCosts:
    """What the work costs, in milliseconds.

    Args:
        face_ms: of each kind of work and crop size.
        estimates_ms: the same as the scheduler believed it.
        crop_frame_ms, crop_face_ms: of cropping and comparing the faces of a frame, and each of them.
        frame_ms: of taking a frame.
        turn_ms: what is left of a turn.
        gap_ms: from one turn to the next when a frame waits.
        noise: ratios of measured to expected times of turns.
    """

    face_ms: Mapping[Kind, float]
    estimates_ms: Mapping[Kind, float]
    crop_frame_ms: float
    crop_face_ms: float
    frame_ms: float
    turn_ms: float
    gap_ms: float
    noise: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Workload:
    """What a run asks of a machine.

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
    known = _known_costs(recording.costs)
    near = min(recording.costs, key=lambda record: abs(record.at_s - start_s), default=None)
    sides = tuple(sorted({side for _, side in known})) or SIDES
    numbers = sorted({result.camera for result in results})
    cameras = tuple(_camera(recording, number, start_s, end_s, sides) for number in numbers)
    budget = about.get("budget_ms")
    budget_ms = float(budget) if isinstance(budget, int | float) and budget > 0 else None
    return Workload(
        cameras, _costs(results, known, _kinds(near) if near else {}, sides), results, start_s, end_s, budget_ms
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
        tuple(tuple(_sizes(result, sides)) for result in inside),
        inside[-1].size_wh,
        np.array(detect_ms or [0.0]),
        _observations(results),
    )


def _sizes(result: RecordedResult, sides: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Track and crop size of the faces that could be upscaled."""
    for face in result.faces:
        if face.treatment != "skipped":
            yield face.track, face.side
        elif face.reason != "too large":
            yield face.track, next((side for side in sides if side >= CROP_MARGIN * face.side), sides[-1])


def _observations(results: Sequence[RecordedResult]) -> dict[int | None, tuple[Observation, ...]]:
    kept_s: dict[int, float] = {}
    found: dict[int | None, list[Observation]] = defaultdict(list)
    for result in results:
        for face in result.faces:
            age_s = result.arrival_s - kept_s[face.track] if face.track in kept_s else None
            if observation := observed(face, age_s):
                found[face.track].append(observation)
                found[None].append(observation)
            if face.treatment in ("network", "small network"):
                kept_s[face.track] = result.arrival_s
    return {track: tuple(sorted(some, key=lambda one: one.age_s)) for track, some in found.items()}


def observed(face: RecordedFace, age_s: float | None) -> Observation | None:
    """What the reason of `schedule.plan` for a treatment tells about the face.

    Args:
        face: with its treatment.
        age_s: time since the network upscaled it; None if it did not.
    """
    reason = face.reason
    changed, grown, sharper = _CHANGED.search(reason), _GROWN.search(reason), _SHARPER.search(reason)
    if changed and changed[2]:
        return Observation(float(changed[2]), float(changed[1]))
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


def _known_costs(costs: Sequence[RecordedCosts]) -> dict[Kind, float]:
    """Median of the recorded estimates of each kind of work."""
    known: dict[Kind, list[float]] = defaultdict(list)
    for record in costs:
        for kind, ms in _kinds(record).items():
            known[kind].append(ms)
    return {kind: float(np.median(times)) for kind, times in known.items()}


def _kinds(record: RecordedCosts) -> dict[Kind, float]:
    found = ((_COST.fullmatch(name), ms) for name, ms in record.costs_ms.items())
    return {(name[1], int(name[2])): ms for name, ms in found if name and name[1] in NETWORKS.values()}


def _costs(
    results: Sequence[RecordedResult],
    known: Mapping[Kind, float],
    believed: Mapping[Kind, float],
    sides: tuple[int, ...],
) -> MachineCosts:
    turns = [list(group) for _, group in groupby(results, key=lambda result: result.done_s)]
    shape = {(work, side): known.get((work, side), 0.0) for work in NETWORKS.values() for side in sides}
    for work in NETWORKS.values():
        _fill(shape, known, work, sides)
    upscale_ms = np.array([max(result.stages_ms.get("upscale", 0.0) for result in turn) for turn in turns])
    amounts = np.array([_amounts(turn, shape) for turn in turns])  # (turns, works + 1)
    weights = _fit_beside(amounts, upscale_ms, [any(kind[0] == work for kind in known) for work in NETWORKS.values()])
    expected = _longer(amounts, weights) @ weights
    fitted = expected >= MIN_FITTED_MS
    noise = np.clip(upscale_ms[fitted] / expected[fitted], 0, MAX_NOISE) if fitted.any() else np.ones(1)
    scale = dict(zip(NETWORKS.values(), weights, strict=False))
    crop_frame_ms, crop_face_ms = _crop_ms(results)
    before_ms = [1e3 * (max(r.taken_s for r in turn) - min(r.taken_s for r in turn)) for turn in turns if len(turn) > 1]
    each_ms = [ms / (len(turn) - 1) for ms, turn in zip(before_ms, (t for t in turns if len(t) > 1), strict=True)]
    frame_ms = float(np.median(each_ms)) if each_ms else 0.0
    rest_ms = [_rest_ms(turn, frame_ms) for turn in turns]
    face_ms = {kind: ms * float(scale[kind[0]]) for kind, ms in shape.items()}
    return MachineCosts(
        face_ms,
        {**face_ms, **believed},
        crop_frame_ms,
        crop_face_ms,
        frame_ms,
        float(np.median(rest_ms)) + float(weights[-1]),
        _gap_ms(turns),
        noise,
    )


def _fill(shape: dict[Kind, float], known: Mapping[Kind, float], work: str, sides: tuple[int, ...]) -> None:
    """Costs of crop sizes that were not met: by area from the nearest size that was; 1 ms at 32 px if none was."""
    met = [side for side in sides if known.get((work, side), 0.0) > 0]
    for side in sides:
        if shape[work, side] <= 0:
            near = min(met, key=lambda other: abs(other - side), default=None)
            shape[work, side] = (side / 32) ** 2 if near is None else known[work, near] * (side / near) ** 2


def _amounts(turn: Sequence[RecordedResult], shape: Mapping[Kind, float]) -> list[float]:
    sums = dict.fromkeys(NETWORKS.values(), 0.0)
    for result in turn:
        for face in result.faces:
            if work := NETWORKS.get(face.treatment):
                sums[work] += _cost(shape, work, face)
    return [*sums.values(), 1.0]


def _cost(shape: Mapping[Kind, float], work: str, face: RecordedFace) -> float:
    return shape.get((work, face.side), (face.side / 32) ** 2)


def _fit(amounts: NDArray[np.float64], measured: NDArray[np.float64], known: Sequence[bool]) -> NDArray[np.float64]:
    """Non-negative weights of the amounts, by coordinate descent; that of work that was not done is 1, or that of the
    network if only the shape of its cost is known."""
    some = measured <= np.percentile(measured, TRIM)
    x, y = amounts[some], measured[some]
    weights = np.zeros(x.shape[1])
    squares = (x * x).sum(0)
    for _ in range(500):
        for n in map(int, np.flatnonzero(squares)):
            error = y - x @ weights + x[:, n] * weights[n]
            weights[n] = max(0.0, float(x[:, n] @ error) / squares[n])
    done = [float(weights[n]) for n in range(len(known)) if squares[n] and known[n]]
    for n, is_known in enumerate(known):
        if not squares[n]:
            weights[n] = (float(np.median(done)) if done else 1.0) if is_known else 0.0
    return weights


def _fit_beside(amounts: NDArray[np.float64], measured: NDArray[np.float64], known: Sequence[bool]) -> NDArray[Any]:
    """See `_fit`; of the moved outputs and the networks, which run beside each other, the longer counts."""
    weights = np.ones(amounts.shape[1])
    for _ in range(ROUNDS):
        weights = _fit(_longer(amounts, weights), measured, known)
    return weights


def _longer(amounts: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The amounts without those that are done meanwhile."""
    moved = np.array([*(work == "reuse" for work in NETWORKS.values()), False])
    others = np.array([*(work != "reuse" for work in NETWORKS.values()), False])
    moved_ms, others_ms = (amounts[:, some] @ weights[some] for some in (moved, others))
    kept = np.where((moved_ms > others_ms)[:, None], ~others, ~moved | (others_ms == 0)[:, None])
    return np.asarray(amounts * kept)


def _crop_ms(results: Sequence[RecordedResult]) -> tuple[float, float]:
    """Milliseconds of a frame and of each of its faces."""
    faces = np.array([len(result.faces) for result in results], np.float64)
    times = np.array([result.stages_ms.get("crop", 0.0) for result in results])
    weights = _fit(np.stack([faces, np.ones(len(faces))], 1), times, [True])
    return float(weights[1]), float(weights[0])


def _rest_ms(turn: Sequence[RecordedResult], frame_ms: float) -> float:
    """Time of a turn outside of its stages."""
    first_s = min(result.taken_s for result in turn)
    stages = sum(result.stages_ms.get(name, 0.0) for result in turn for name in ("detect", "crop"))
    upscale_ms = max(result.stages_ms.get("upscale", 0.0) for result in turn)
    return max(0.0, 1e3 * (turn[0].done_s - first_s) - stages - upscale_ms - frame_ms * len(turn))


def _gap_ms(turns: Sequence[Sequence[RecordedResult]]) -> float:
    """Median time from the end of a turn to the next one whose frames had come before that end."""
    gaps = []
    for before, after in pairwise(turns):
        end_s, first = before[0].done_s, min(after, key=lambda result: result.taken_s)
        if min(result.arrival_s for result in after) <= end_s <= first.taken_s:
            gaps.append(1e3 * (first.taken_s - end_s))
    return float(np.median(gaps)) if gaps else 0.0
