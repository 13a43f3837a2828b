"""When the results of a turn should be ready."""

from __future__ import annotations

import pytest
from facesr_edge.sdk.live.scheduling.scheduler import turn_deadline_s


@pytest.mark.parametrize(
    ("waited_ms", "left_ms"),
    [(0, 50), (20, 50), (50, 50), (70, 30), (80, 20), (90, 20), (500, 20)],
)
def test_a_turn_takes_half_of_the_budget_at_most_and_a_fifth_at_least(waited_ms: float, left_ms: float) -> None:
    now_s = 1000.0
    deadline_s = turn_deadline_s(now_s - waited_ms / 1e3, now_s, 0.1)
    assert 1e3 * (deadline_s - now_s) == pytest.approx(left_ms)
