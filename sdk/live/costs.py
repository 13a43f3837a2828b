"""What the work of a live run costs on this machine, measured while it runs."""

from __future__ import annotations

from collections.abc import Hashable

RISE, FALL = 0.3, 0.1
"""Weight of a new measurement that is above or below the estimate: a machine that slows down is noticed quickly, and
one fast call does not make the next turn too full."""
MAX_RATIO = 4.0
"""Largest ratio of a measurement to the estimate that counts: one call during which the process slept tells little."""


class Costs:
    """Mean milliseconds of each kind of work, as moving averages.

    Args:
        initial_ms: estimates before the first measurement.
    """

    def __init__(self, initial_ms: dict[Hashable, float] | None = None) -> None:
        self._ms: dict[Hashable, float] = dict(initial_ms or {})

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
        if known is None:
            self._ms[work] = each
            return
        each = min(each, MAX_RATIO * known)
        self._ms[work] = known + (RISE if each > known else FALL) * (each - known)

    def to_dict(self) -> dict[str, float]:
        """Estimates for reports, milliseconds by the name of the work."""
        return {str(work): round(ms, 3) for work, ms in self._ms.items()}
