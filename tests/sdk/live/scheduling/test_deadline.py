"""When the results of a turn should be ready."""

from __future__ import annotations

import pytest
from facesr_edge.sdk.live.scheduling.scheduler import Budget, turn_deadline_s


@pytest.mark.parametrize(
    ("waited_ms", "left_ms"),
    [(0, 50), (20, 50), (50, 50), (70, 30), (80, 20), (90, 20), (500, 20)],
)
def test_a_turn_takes_half_of_the_budget_at_most_and_a_fifth_at_least(waited_ms: float, left_ms: float) -> None:
    now_s = 1000.0
    deadline_s = turn_deadline_s(now_s - waited_ms / 1e3, now_s, 0.1)
    assert 1e3 * (deadline_s - now_s) == pytest.approx(left_ms)


def taken(arrivals_s: list[float], fps: float) -> list[float]:
    """Arrivals of the frames that are taken as soon as they are due."""
    budget, due_s, frames = Budget(100.0, 1 / fps), None, []
    for now_s in arrivals_s:
        if due_s is None or now_s >= due_s:
            due_s = budget.next_due_s(due_s, now_s)
            frames.append(now_s)
    return frames


@pytest.mark.parametrize(("fps", "share"), [(25, 1.0), (20, 0.8), (12.5, 0.5), (5, 0.2)])
def test_a_limit_of_frames_keeps_its_rate(fps: float, share: float) -> None:
    jitter_s = [0.0, 0.006, -0.005, 0.004]
    arrivals_s = [n * 0.04 + jitter_s[n % 4] for n in range(500)]
    assert len(taken(arrivals_s, fps)) == pytest.approx(500 * share, rel=0.03)


def test_a_pause_of_the_camera_is_not_made_up_for() -> None:
    arrivals_s = [n * 0.04 for n in range(50)] + [20 + n * 0.04 for n in range(50)]
    after = [at_s for at_s in taken(arrivals_s, 5) if at_s >= 20]
    assert len(after) <= 12
