"""What came out of a run, recorded, simulated or measured: ages, losses, and how the faces were treated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ....calibration.timing import LatencyStats, latency_stats
from .summary import OVER_BUDGET
from .workload import Workload


@dataclass(frozen=True)
class Outcome:
    """What came out of a run.

    Args:
        cameras: number of cameras.
        ages_ms: from arrival to result, of each result; at least one.
        frames: number of frames that arrived.
        duration_s: of the run.
        treatments: number of faces by treatment, with "skipped".
        over_budget: number of faces that did not get what they needed in time.
        busy: share of the time in which the scheduler worked.
    """

    cameras: int
    ages_ms: tuple[float, ...]
    frames: int
    duration_s: float
    treatments: dict[str, int]
    over_budget: int
    busy: float

    @cached_property
    def age(self) -> LatencyStats:
        """Statistics of the ages."""
        return latency_stats(self.ages_ms)

    @property
    def degraded(self) -> float:
        """Share of the faces that did not get what they needed in time."""
        return self.over_budget / max(1, sum(self.treatments.values()))

    @property
    def dropped(self) -> float:
        """Share of the frames that were not processed."""
        return max(0.0, 1 - len(self.ages_ms) / max(1, self.frames))

    @property
    def fps(self) -> float:
        """Results per second of each camera."""
        return len(self.ages_ms) / self.cameras / max(self.duration_s, 1e-9)

    def share(self, treatment: str) -> float:
        """Share of the faces with a treatment."""
        return self.treatments.get(treatment, 0) / max(1, sum(self.treatments.values()))

    def fits(self, budget_ms: float, max_degraded: float) -> bool:
        """Whether 99 % of the results are ready within the budget, and few faces are degraded."""
        return self.age.p99 <= budget_ms and self.degraded <= max_degraded

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "cameras": self.cameras,
            "age_ms": self.age.to_dict(),
            "fps": round(self.fps, 3),
            "dropped": round(self.dropped, 4),
            "degraded": round(self.degraded, 4),
            "faces": self.treatments,
            "busy": round(self.busy, 4),
        }


def pooled(outcomes: Sequence[Outcome]) -> Outcome:
    """Several runs of the same cameras as one."""
    treatments: Counter[str] = Counter()
    for outcome in outcomes:
        treatments.update(outcome.treatments)
    return Outcome(
        outcomes[0].cameras,
        tuple(age for outcome in outcomes for age in outcome.ages_ms),
        sum(outcome.frames for outcome in outcomes),
        sum(outcome.duration_s for outcome in outcomes),
        dict(treatments),
        sum(outcome.over_budget for outcome in outcomes),
        sum(outcome.busy for outcome in outcomes) / len(outcomes),
    )


def recorded_outcome(workload: Workload) -> Outcome:
    """What came out of the recorded run, after its warm-up."""
    faces = [face for result in workload.results for face in result.faces]
    planned = [face for face in faces if face.treatment != "skipped" or face.reason.startswith(OVER_BUDGET)]
    turns = {result.done_s: min(result.taken_s, result.done_s) for result in workload.results}
    duration_s = workload.end_s - workload.start_s
    return Outcome(
        len(workload.cameras),
        tuple(result.age_ms for result in workload.results),
        sum(len(camera.arrivals_s) for camera in workload.cameras),
        duration_s,
        dict(Counter(face.treatment for face in planned)),
        sum(face.reason.startswith(OVER_BUDGET) for face in planned),
        sum(done_s - taken_s for done_s, taken_s in turns.items()) / max(duration_s, 1e-9),
    )
