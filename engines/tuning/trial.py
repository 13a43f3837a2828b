"""Measure candidates: interleaved, within a time limit, small inputs first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from math import exp, fsum, inf, log
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from ..bundle.io_spec import IOSpec
from ..errors import FacesrError, first_line
from ..inputs import PRESENT, Inputs
from ..session import MultiInputSession
from .candidates import Candidate

LIMIT_S = 3.0
"""Time limit of a trial, compilation included."""
FACES, SIDES, DETECTOR_HW = 4, (32, 64, 96), (384, 640)
"""Inputs: faces of each of the nearest crop sizes, or one input of a detector, pixels."""
REFERENCES = 4
"""References per face of a network that takes them; their content does not change the time."""
ROUNDS, ROUND_S = 7, 0.4
"""Rounds of one input, and the time after which no other round starts."""
MAX_RATIO = 1.3
"""A candidate that is this much slower than the best is not measured on larger inputs."""
WORKERS_SHARE = 0.75
"""Share of the time limit for the comparison of runtimes and precisions; the rest is for the number of workers."""
WORKERS_SIDES = (64,)
"""Faces on which the numbers of workers are compared: at 32 px a call takes less than a millisecond."""
NOISE = 0.03
"""Differences below are noise: the first candidate is chosen."""


@dataclass(frozen=True)
class Measurement:
    """Times of a candidate.

    Args:
        candidate: that was measured.
        ms: input, e.g. "64 px" -> ms per face (or image); the minimum of the rounds.
        problem: why it was not measured on every input; "" if it was.
    """

    candidate: Candidate
    ms: dict[str, float] = field(default_factory=dict)
    problem: str = ""


def trial_inputs(io_spec: IOSpec, sides: Sequence[int] = SIDES) -> dict[str, NDArray[np.uint8]]:
    """Name -> batch of the inputs to measure, smallest first."""
    if io_spec.task == "face-detection":
        height, width = io_spec.padded_hw(*DETECTOR_HW)
        return {f"{width}x{height}": np.zeros((1, height, width, 3), np.uint8)}
    nearest = {min(io_spec.crop_sizes, key=lambda side: abs(side - wanted)) for wanted in sides}
    rng = np.random.default_rng(0)
    return {f"{side} px": rng.integers(0, 256, (FACES, side, side, 3), np.uint8) for side in sorted(nearest)}


def trial_references(io_spec: IOSpec) -> list[Inputs]:
    """The other inputs of a batch of `trial_inputs`; none for a network without references."""
    slots = min(REFERENCES, io_spec.references)
    return [{PRESENT: np.zeros((FACES, slots), np.float32)}] if slots else []


def run_trial(
    candidates: Sequence[Candidate],
    io_spec: IOSpec,
    open_candidate: Callable[[Candidate], MultiInputSession],
    limit_s: float = LIMIT_S,
    max_ratio: float = MAX_RATIO,
    sides: Sequence[int] = SIDES,
) -> list[Measurement]:
    """Time the candidates on one input after another.

    Args:
        candidates: to measure, the first is the default.
        io_spec: of the bundle.
        open_candidate: loads the bundle for a candidate; a `FacesrError` excludes it.
        limit_s: time limit; whatever is not measured by then is left out.
        max_ratio: time relative to the fastest above which a candidate is not measured on larger inputs.
        sides: of the faces, pixels; the nearest crop sizes are measured.

    Returns:
        A measurement of every candidate, in their order.
    """
    deadline, inputs, references = _Deadline(limit_s), trial_inputs(io_spec, sides), trial_references(io_spec)
    found = {candidate: Measurement(candidate) for candidate in candidates}
    with ExitStack() as stack:
        sessions: dict[Candidate, MultiInputSession] = {}

        def prepare(candidate: Candidate, batch: NDArray[np.uint8]) -> str:
            """Load and compile what a candidate needs for an input; returns why it cannot run, or ""."""
            try:
                with deadline.preparing():
                    if candidate not in sessions:
                        sessions[candidate] = stack.enter_context(closing(open_candidate(candidate)))
                    sessions[candidate].infer_batches([batch], references)
            except FacesrError as error:
                return first_line(error)
            return ""

        for number, (name, batch) in enumerate(inputs.items()):
            running = [candidate for candidate in candidates if not found[candidate].problem]
            for index, candidate in enumerate(running):
                in_time = deadline.allows_another() or index + number == 0
                problem = prepare(candidate, batch) if in_time else f"not measured within {limit_s:g} s"
                found[candidate] = replace(found[candidate], problem=problem)
                if not in_time and number:  # the candidates could not be compared at this input
                    return [
                        replace(one, problem="" if one.candidate in running else one.problem) for one in found.values()
                    ]
            running = [candidate for candidate in running if not found[candidate].problem]
            times = _rounds([sessions[candidate] for candidate in running], batch, references, deadline)
            for candidate, ms in zip(running, times, strict=True):
                ratio = ms / min(times)
                problem = f"{ratio:.1f} times the fastest at {name}" if ratio > max_ratio else ""
                found[candidate] = Measurement(candidate, {**found[candidate].ms, name: ms / len(batch)}, problem)
    return list(found.values())


def quick_trial(
    candidates: Sequence[Candidate],
    io_spec: IOSpec,
    open_candidate: Callable[[Candidate], MultiInputSession],
    limit_s: float = LIMIT_S,
) -> list[Measurement]:
    """Compare runtimes and precisions with the most workers, and then the fastest of them with one worker.

    Args:
        candidates, io_spec, open_candidate: see `run_trial`.
        limit_s: time limit of both parts.

    Returns:
        A measurement of every candidate, in their order; those that are not the fastest have a `problem`.
    """
    most = max(candidate.workers for candidate in candidates)
    found = {
        candidate: Measurement(candidate, problem="not measured: another is faster with several calls at once")
        for candidate in candidates
    }
    first = [candidate for candidate in candidates if candidate.workers == most]
    measured = run_trial(first, io_spec, open_candidate, WORKERS_SHARE * limit_s if most > 1 else limit_s)
    best = fastest(measured)
    for one in measured:
        loses = best is not None and one != best and not one.problem
        found[one.candidate] = replace(one, problem="not the fastest") if loses else one
    single = best and replace(best.candidate, workers=1)
    if best and single in found and single != best.candidate:
        pair, rest_s = [best.candidate, single], (1 - WORKERS_SHARE) * limit_s
        found |= {one.candidate: one for one in run_trial(pair, io_spec, open_candidate, rest_s, inf, WORKERS_SIDES)}
    return [found[candidate] for candidate in candidates]


def fastest(measurements: Sequence[Measurement]) -> Measurement | None:
    """The first candidate within `NOISE` of the fastest, by the geometric mean of its times.

    Returns:
        None if none was measured.
    """
    remaining = [one for one in measurements if one.ms and not one.problem]
    if not remaining:
        return None
    means = [exp(fsum(map(log, one.ms.values())) / len(one.ms)) for one in remaining]
    return next(one for one, mean in zip(remaining, means, strict=True) if mean <= (1 + NOISE) * min(means))


class _Deadline:
    """When a trial ends, and how long the longest preparation of a candidate took."""

    def __init__(self, limit_s: float) -> None:
        self._end, self._longest = perf_counter() + limit_s, 0.0

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Time a preparation."""
        start = perf_counter()
        yield
        self._longest = max(self._longest, perf_counter() - start)

    def allows_another(self) -> bool:
        """Whether another preparation would end in time."""
        return perf_counter() + self._longest < self._end

    def passed(self) -> bool:
        """Whether the time is over."""
        return perf_counter() >= self._end


def _rounds(
    sessions: Sequence[MultiInputSession], batch: NDArray[np.uint8], references: Sequence[Inputs], deadline: _Deadline
) -> list[float]:
    """Minimum time of a batch in each session, in ms, interleaved."""
    best, start = [inf] * len(sessions), perf_counter()
    for number in range(ROUNDS):
        if number and (deadline.passed() or perf_counter() - start > ROUND_S):
            break
        for index, session in enumerate(sessions):
            before = perf_counter()
            session.infer_batches([batch], references)
            best[index] = min(best[index], 1e3 * (perf_counter() - before))
    return best
