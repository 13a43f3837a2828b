"""Calls timed in turn: whatever else the machine does falls on all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from time import perf_counter

import numpy as np

WARM_UP = 2
"""Rounds before those that count."""


@dataclass(frozen=True)
class LatencyStats:
    """What a call took, in ms: best, the range that holds four of five, and the median."""

    best: float
    p10: float
    p50: float
    p90: float


def interleaved(
    calls: Sequence[Callable[[], object]],
    rounds: int,
    *,
    warm_up: int = WARM_UP,
    seed: int = 0,
    clock: Callable[[], float] = perf_counter,
    watch: Callable[[int], None] = lambda done: None,
) -> list[list[float]]:
    """Time calls in rounds, each call once a round, in an order that is drawn anew for every round.

    A turn is two calls, of which the second counts: the first brings its weights back into the caches, and meanwhile
    the threads of the call before come to rest.

    Args:
        calls: what is timed.
        rounds: that count.
        warm_up: rounds before, which do not.
        seed: of the order.
        clock: gives seconds.
        watch: told the number of rounds done.

    Returns:
        For each call, the ms of every round, in order.
    """
    order, drawn = list(range(len(calls))), Random(seed)
    taken: list[list[float]] = [[] for _ in calls]
    for number in range(-warm_up, rounds):
        drawn.shuffle(order)
        for which in order:
            calls[which]()
            start = clock()
            calls[which]()
            ms = 1e3 * (clock() - start)
            if number >= 0:
                taken[which].append(ms)
        watch(max(0, number + 1))
    return taken


def latency_stats(taken_ms: Sequence[float]) -> LatencyStats:
    """Best, percentiles (linearly interpolated) and median of at least one call's ms."""
    p10, p50, p90 = (float(p) for p in np.percentile(taken_ms, (10, 50, 90)))
    return LatencyStats(min(taken_ms), p10, p50, p90)
