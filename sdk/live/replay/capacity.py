"""Capacity of a machine: how many cameras fit, by simulation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from .outcome import Outcome
from .simulation import simulate
from .workload import Workload

MAX_CAMERAS = 64
MAX_DEGRADED = 0.05
"""Share of faces over the budget that is accepted by default."""
MISSES = 2
"""Numbers of cameras in a row that do not fit before the search ends."""


@dataclass(frozen=True)
class Capacity:
    """What comes out with more and more cameras.

    Args:
        rows: one for each number of cameras, ascending.
        budget_ms: maximum age that 99 % of the results have to keep.
        max_degraded: maximum share of faces over the budget.
    """

    rows: tuple[Outcome, ...]
    budget_ms: float
    max_degraded: float

    @property
    def cameras(self) -> int:
        """The largest number that fits with all smaller ones of the rows; 0 if the first does not."""
        return max((row.cameras for row in takewhile(self.fits, self.rows)), default=0)

    def fits(self, row: Outcome) -> bool:
        """Whether a row keeps both limits."""
        return row.fits(self.budget_ms, self.max_degraded)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [{**row.to_dict(), "fits": self.fits(row)} for row in self.rows]
        limits = {"budget_ms": self.budget_ms, "max_degraded": self.max_degraded}
        return {**limits, "cameras": self.cameras, "rows": rows}


def capacity(
    workload: Workload,
    budget_ms: float,
    *,
    numbers: Sequence[int] = (),
    speed: float = 1.0,
    max_degraded: float = MAX_DEGRADED,
    report: Callable[[int], None] = lambda cameras: None,
) -> Capacity:
    """Simulate more and more cameras until they no longer fit.

    Args:
        workload: see `workload_of`.
        budget_ms: see `simulate`.
        numbers: of cameras; empty for 1, 2, … until `MISSES` in a row do not fit.
        speed: see `simulate`.
        max_degraded: maximum share of faces over the budget.
        report: called with each number of cameras before it is simulated.
    """
    rows: list[Outcome] = []
    for cameras in numbers or range(1, MAX_CAMERAS + 1):
        report(cameras)
        rows.append(simulate(workload, budget_ms, cameras=cameras, speed=speed))
        fits = [row.fits(budget_ms, max_degraded) for row in rows[-MISSES:]]
        if not numbers and len(fits) == MISSES and not any(fits):
            break
    return Capacity(tuple(rows), budget_ms, max_degraded)
