"""Interleaved latency measurement: calls take turns, so background load on the machine affects all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engines.session import Session

WARM_UP = 2
"""Default number of warm-up rounds."""
MEDIAN_ROUNDS = 15
"""Rounds of `median_ms`."""


@dataclass(frozen=True)
class LatencyStats:
    """Latency statistics of repeated calls, in ms: minimum, linearly interpolated percentiles, arithmetic mean."""

    best: float
    p10: float
    p50: float
    p90: float
    p99: float
    mean: float

    def to_dict(self, names: Iterable[str] = ("p50", "p90", "p99", "mean")) -> dict[str, float]:
        """Selected statistics for JSON, in ms, rounded to 1 µs."""
        return {name: round(getattr(self, name), 3) for name in names}


def latency_stats(samples_ms: Sequence[float]) -> LatencyStats:
    """Statistics of at least one sample, in ms."""
    p10, p50, p90, p99 = (float(p) for p in np.percentile(samples_ms, (10, 50, 90, 99)))
    return LatencyStats(float(min(samples_ms)), p10, p50, p90, p99, float(np.mean(samples_ms)))


def interleaved(
    calls: Sequence[Callable[[], object]],
    rounds: int,
    *,
    warm_up: int = WARM_UP,
    discard: int = 1,
    seed: int = 0,
    clock: Callable[[], float] = perf_counter,
    report: Callable[[int], None] = lambda done: None,
) -> list[list[float]]:
    """Time calls in rounds: each call has one turn per round, in an order shuffled anew for every round.

    Args:
        rounds, warm_up: measured rounds, and rounds before them that are not measured.
        discard: untimed calls at the start of each turn. One of them loads the weights back into the caches, while the
            threads of the previous function stop spinning.
        clock: returns seconds.
        report: called with the number of completed rounds.

    Returns:
        For each call, the latency in ms of every round.
    """
    order, random = list(range(len(calls))), Random(seed)
    samples: list[list[float]] = [[] for _ in calls]
    for number in range(-warm_up, rounds):
        random.shuffle(order)
        for index in order:
            for _ in range(discard):
                calls[index]()
            start = clock()
            calls[index]()
            ms = 1e3 * (clock() - start)
            if number >= 0:
                samples[index].append(ms)
        report(max(0, number + 1))
    return samples


def median_ms(sessions: Sequence[Session], batch: NDArray[Any]) -> list[float]:
    """Median latency of one inference in each session, in ms, interleaved."""
    calls = [partial(session.infer, batch) for session in sessions]
    return [latency_stats(ms).p50 for ms in interleaved(calls, MEDIAN_ROUNDS, warm_up=1, discard=0)]
