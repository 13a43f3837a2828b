"""Estimates of work that is not done any more."""

import pytest
from facesr_edge.sdk.live.scheduling.costs import FADE, Costs


def test_an_estimate_comes_back_to_its_best_measurement_while_the_work_is_not_done():
    costs = Costs({"network": 10.0, "bicubic": 1.0})
    costs.add("network", 40.0)
    costs.end_turn()
    slow = costs["network"]
    assert slow == pytest.approx(19.0)
    for _ in range(100):
        costs.add("bicubic", 2.0)
        costs.end_turn()
    assert costs["network"] == pytest.approx(10 + 9 * (1 - FADE) ** 100)
    assert costs["bicubic"] == pytest.approx(2.0, abs=0.01)  # it was done in each turn


def test_the_best_measurement_may_come_later():
    costs = Costs()
    for ms in (30.0, 5.0):
        costs.add("network", ms)
    for _ in range(1000):
        costs.end_turn()
    assert costs["network"] == pytest.approx(5.0, abs=0.01)
