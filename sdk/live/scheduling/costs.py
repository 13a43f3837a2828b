"""What the work of a live run costs on this machine, measured while it runs."""

from __future__ import annotations

from collections.abc import Hashable

RISE, FALL = 0.3, 0.1
"""Weight of a new measurement that is above or below the estimate: a machine that slows down is noticed quickly, and
one fast call does not make the next turn too full."""
MAX_RATIO = 4.0
"""Largest ratio of a measurement to the estimate that counts: one call during which the process slept tells little."""
FADE = 0.02
"""Share by which the estimate of work that was not done in a turn comes nearer to its best measurement: work that was
slow once, or when the run began, is tried again after some seconds."""


class Costs:
    """Mean milliseconds of each kind of work, as moving averages.

    Args:
        initial_ms: estimates before the first measurement.
    """

    def __init__(self, initial_ms: dict[Hashable, float] | None = None) -> None:
        self._ms: dict[Hashable, float] = dict(initial_ms or {})
        self._best_ms = dict(self._ms)
        self._done: set[Hashable] = set()

    def __getitem__(self, work: Hashable) -> float:
        """Estimate in milliseconds; 0 for work that was never measured, so that it is tried."""
        return self._ms.get(work, 0.0)

    def add(self, work: Hashable, ms: float, count: int = 1) -> None:
        """Add a measurement.

        Args:
            work: kind of work.
            ms: of `count` pieces of it together.
            count: number of pieces.
        """
        each, known = ms / count, self._ms.get(work)
        self._best_ms[work] = min(each, self._best_ms.get(work, each))
        self._done.add(work)
        if known is None:
            self._ms[work] = each
            return
        each = min(each, MAX_RATIO * known)
        self._ms[work] = known + (RISE if each > known else FALL) * (each - known)

    def end_turn(self) -> None:
        """Let the estimates of work that was not done since the last turn come nearer to its best measurement."""
        for work, best_ms in self._best_ms.items():
            if work not in self._done:
                self._ms[work] += FADE * (best_ms - self._ms[work])
        self._done.clear()

    def to_dict(self) -> dict[str, float]:
        """Estimates for reports, milliseconds by the name of the work."""
        return {str(work): round(ms, 3) for work, ms in dict(self._ms).items()}
