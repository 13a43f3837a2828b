"""What the work of a recorded run cost on its machine, found in the times of the turns."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from .recording import RecordedCosts, RecordedResult

WORKS = {"network": "network", "small network": "small network", "reused": "reuse", "bicubic": "bicubic"}
"""Treatment -> name of its cost, see `Upscaler`."""
MOVED = [work == "reuse" for work in WORKS.values()]
"""Work that is done beside the rest."""
ROUNDS, DESCENTS = 5, 300
SPREAD = 0.3
"""Standard deviation of the ratios to the estimates around the common one: work that was done once in a slow turn does
not tell its cost."""
TRIM = 99.0
"""Percentile of the turns' times above which they are left out of the fit: the process slept."""
MAX_NOISE = 20.0
MIN_FITTED_MS = 1.0
"""Turns that take less tell nothing about noise."""

_COST = re.compile(r"\('([a-z ]+)', (\d+)\)")
Kind = tuple[str, int]
"""Work and crop size."""
Turn = Sequence[RecordedResult]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MachineCosts:
    """What the work costs, in milliseconds.

    Args:
        face_ms: of each kind of work and crop size.
        estimates_ms: the same as the scheduler estimated it.
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


def kinds_of(costs: RecordedCosts) -> dict[Kind, float]:
    """Milliseconds of the work on faces among the recorded costs."""
    found = ((_COST.fullmatch(name), ms) for name, ms in costs.costs_ms.items())
    return {(name[1], int(name[2])): ms for name, ms in found if name and name[1] in WORKS.values()}


def known_costs(costs: Sequence[RecordedCosts]) -> dict[Kind, float]:
    """Median over the run of the scheduler's estimates."""
    known: dict[Kind, list[float]] = defaultdict(list)
    for record in costs:
        for kind, ms in kinds_of(record).items():
            known[kind].append(ms)
    return {kind: float(np.median(times)) for kind, times in known.items()}


def machine_costs(
    results: Sequence[RecordedResult],
    known: Mapping[Kind, float],
    estimates: Mapping[Kind, float],
    sides: tuple[int, ...],
) -> MachineCosts:
    """Fit the costs to the times of the turns.

    The ratios of the costs of crop sizes are those of the scheduler's estimates; one factor for each kind of work is
    fitted.

    Args:
        results: in the order of time; those of a turn are ready at the same time.
        known: the scheduler's estimates on the whole.
        estimates: the same at the beginning of what is simulated.
        sides: crop sizes, pixels.
    """
    turns = [list(group) for _, group in groupby(results, key=lambda result: result.done_s)]
    shape = {(work, side): ms for work in WORKS.values() for side, ms in _shape(known, work, sides).items()}
    measured_ms = np.array([_upscale_ms(turn) for turn in turns])
    amounts = np.array([_amounts(turn, shape) for turn in turns])  # (turns, works + 1)
    has_scale = [any(work == name for name, _ in known) for work in WORKS.values()]
    weights = _fit_beside(amounts, measured_ms, has_scale)
    factors = dict(zip(WORKS.values(), weights.tolist(), strict=False))
    face_ms = {kind: ms * factors[kind[0]] for kind, ms in shape.items()}
    crop_frame_ms, crop_face_ms = _crop_ms(results)
    frame_ms = _frame_ms(turns)
    turn_ms = float(np.median([_rest_ms(turn, frame_ms) for turn in turns]) + weights[-1])
    noise = _noise(measured_ms, _longer(amounts, weights) @ weights)
    estimates_ms = {**face_ms, **estimates}
    return MachineCosts(face_ms, estimates_ms, crop_frame_ms, crop_face_ms, frame_ms, turn_ms, _gap_ms(turns), noise)


def _shape(known: Mapping[Kind, float], work: str, sides: tuple[int, ...]) -> dict[int, float]:
    """Cost of each crop size: known, or by area from the nearest size that is; 1 ms at 32 px if none is."""
    met = {side: known[work, side] for side in sides if known.get((work, side), 0.0) > 0} or {32: 1.0}
    near = {side: min(met, key=lambda other: abs(other - side)) for side in sides}
    return {side: met[near[side]] * (side / near[side]) ** 2 for side in sides}


def _amounts(turn: Turn, shape: Mapping[Kind, float]) -> list[float]:
    """Expected milliseconds of each kind of work in a turn, and 1 for what each turn takes."""
    sums = dict.fromkeys(WORKS.values(), 0.0)
    for face in (face for result in turn for face in result.faces):
        if work := WORKS.get(face.treatment):
            sums[work] += shape.get((work, face.side), (face.side / 32) ** 2)
    return [*sums.values(), 1.0]


def _fit_beside(amounts: Matrix, measured: Matrix, has_scale: Sequence[bool]) -> Matrix:
    """Weights of the amounts; of the moved outputs and the networks, which run beside each other, the longer counts.

    The weight of work that was not done is that of the other work, or 0 if not even its scale is known.
    """
    scaled = np.array([*has_scale, False])
    some = measured <= np.percentile(measured, TRIM)
    amounts, measured = amounts[some], measured[some]
    weights = np.ones(amounts.shape[1])
    for _ in range(ROUNDS):
        counted = _longer(amounts, weights)
        expected_ms = float(counted[:, scaled].sum())
        usual = float(measured.sum()) / expected_ms if expected_ms else 1.0
        doubt = scaled * float(np.var(measured - counted @ weights)) / SPREAD**2
        weights = np.where(counted.any(0), _fit(counted, measured, scaled * usual, doubt), scaled * usual)
    return weights


def _longer(amounts: Matrix, weights: Matrix) -> Matrix:
    """The amounts without those that are done meanwhile."""
    moved, others = np.array([*MOVED, False]), np.array([*np.logical_not(MOVED), False])
    moved_ms, others_ms = (amounts[:, some] @ weights[some] for some in (moved, others))
    counted = np.where((moved_ms > others_ms)[:, None], ~others, ~moved | (others_ms == 0)[:, None])
    return np.asarray(amounts * counted)


def _fit(x: Matrix, y: Matrix, prior: Matrix, doubt: Matrix) -> Matrix:
    """Non-negative least squares by coordinate descent, with a normal prior of some weights.

    Args:
        x, y: (turns, works + 1) amounts and (turns,) milliseconds.
        prior: expected weights.
        doubt: ratio of the variance of y to that of each weight; 0 without a prior.
    """
    squares = (x * x).sum(0)
    weights = np.zeros(x.shape[1])
    for _ in range(DESCENTS):
        for n in range(len(weights)):
            if squares[n]:
                error = y - x @ weights + x[:, n] * weights[n]
                weights[n] = max(0.0, float((x[:, n] @ error + doubt[n] * prior[n]) / (squares[n] + doubt[n])))
    return weights


def _noise(measured_ms: Matrix, expected_ms: Matrix) -> Matrix:
    fitted = expected_ms >= MIN_FITTED_MS
    return np.clip(measured_ms[fitted] / expected_ms[fitted], 0, MAX_NOISE) if fitted.any() else np.ones(1)


def _upscale_ms(turn: Turn) -> float:
    return max(result.stages_ms.get("upscale", 0.0) for result in turn)


def _crop_ms(results: Sequence[RecordedResult]) -> tuple[float, float]:
    """Milliseconds of a frame and of each of its faces."""
    faces = np.array([[len(result.faces), 1.0] for result in results])
    times_ms = np.array([result.stages_ms.get("crop", 0.0) for result in results])
    face_ms, frame_ms = _fit(faces, times_ms, np.zeros(2), np.zeros(2))
    return float(frame_ms), float(face_ms)


def _frame_ms(turns: Sequence[Turn]) -> float:
    """Median time from one frame's taking to the next in a turn."""
    taken_s = [sorted(result.taken_s for result in turn) for turn in turns]
    steps = [1e3 * (after - before) for times in taken_s for before, after in pairwise(times)]
    return float(np.median(steps)) if steps else 0.0


def _rest_ms(turn: Turn, frame_ms: float) -> float:
    """Time of a turn outside of its stages."""
    stages = sum(result.stages_ms.get(name, 0.0) for result in turn for name in ("detect", "crop"))
    whole_ms = 1e3 * (turn[0].done_s - min(result.taken_s for result in turn))
    return max(0.0, whole_ms - stages - _upscale_ms(turn) - frame_ms * len(turn))


def _gap_ms(turns: Sequence[Turn]) -> float:
    """Median time from the end of a turn to the next one whose frames had come before that end."""
    gaps = []
    for before, after in pairwise(turns):
        end_s, taken_s = before[0].done_s, min(result.taken_s for result in after)
        if min(result.arrival_s for result in after) <= end_s <= taken_s:
            gaps.append(1e3 * (taken_s - end_s))
    return float(np.median(gaps)) if gaps else 0.0
