"""Latencies of a live run: a histogram since the start, and percentiles of the last minute."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

import numpy as np

BOUNDS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds of the histogram, in seconds; one more bucket holds the rest."""
RECENT_S = 60.0
"""Age at which a latency leaves the percentiles."""
MAX_RECENT = 4096
"""Maximum number of latencies behind the percentiles: a minute at 60 frames/s."""


@dataclass(frozen=True)
class Latency:
    """Latencies up to one moment.

    Args:
        counts: number of latencies in each bucket, since the start.
        sum_s: since the start; a negative one, of a camera whose clock is ahead, counts as 0.
        recent_s: those of the last minute.
    """

    counts: tuple[int, ...]
    sum_s: float
    recent_s: tuple[float, ...]

    @property
    def count(self) -> int:
        """Number of latencies since the start."""
        return sum(self.counts)

    def percentiles(self, *percents: float) -> list[float | None]:
        """Percentiles of the last minute in seconds; None if there was no latency."""
        if not self.recent_s:
            return [None] * len(percents)
        return [float(value) for value in np.percentile(self.recent_s, percents)]


class LatencyRecord:
    """Collects latencies; its memory does not grow."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._sum_s = 0.0
        self._times: deque[float] = deque(maxlen=MAX_RECENT)
        self._recent: deque[float] = deque(maxlen=MAX_RECENT)

    def add(self, latency_s: float, now_s: float) -> None:
        """Count one latency.

        Args:
            latency_s: in seconds.
            now_s: on the clock of `time.monotonic`.
        """
        self._counts[bisect_left(BOUNDS_S, latency_s)] += 1
        self._sum_s += max(0.0, latency_s)
        self._times.append(now_s)
        self._recent.append(latency_s)

    def at(self, now_s: float) -> Latency:
        """The latencies up to now."""
        while self._times and self._times[0] < now_s - RECENT_S:
            self._times.popleft()
            self._recent.popleft()
        return Latency(tuple(self._counts), self._sum_s, tuple(self._recent))
