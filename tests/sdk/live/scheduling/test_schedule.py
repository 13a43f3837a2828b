"""The plan of a turn: ranks, reasons, and what does not fit into the budget."""

from __future__ import annotations

import math
import random

import pytest
from facesr_edge.sdk.live.scheduling.costs import Costs
from facesr_edge.sdk.live.scheduling.plan import (
    DETECT_S,
    GROWN,
    REFRESH_S,
    REUSE_LEVELS,
    STILL_REFRESH_S,
    Choice,
    Need,
    due_for_detection,
    due_for_registration,
    plan,
)

MS = {"network": 5.0, "multi-frame network": 6.0, "small network": 2.0, "reuse": 0.5, "bicubic": 0.25}
COSTS = Costs({(work, side): ms * (side / 32) ** 2 for work, ms in MS.items() for side in (32, 64)})


def treatments(choices: list[Choice]) -> list[str]:
    return [choice.treatment for choice in choices]


@pytest.mark.parametrize(
    ("need", "treatment", "reason"),
    [
        (Need(32), "network", "new track"),
        (Need(32, 1.0, 0.2), "reused", "changed by 1.0 gray levels in 0.20 s"),
        (Need(32, REUSE_LEVELS + 1, 0.2), "network", f"changed by {REUSE_LEVELS + 1:.1f} gray levels"),
        (Need(32, 1.0, REFRESH_S + 0.5), "network", "refreshed after 2.5 s"),
        (Need(32, 1.0, REFRESH_S + 0.5, still=True), "reused", "changed by 1.0 gray levels in 2.50 s"),
        (Need(32, 1.0, STILL_REFRESH_S, still=True), "network", "refreshed after 10.0 s"),
        (Need(32, math.inf, 0.2), "network", "not found at its last place"),
        (Need(32, 1.0, 0.2, growth=GROWN + 0.05), "network", "grown by 30%"),
        (Need(32, 1.0, 0.2, sharpness=2.0), "network", "sharper by 100%"),
        (Need(32, 1.0, 0.2, by_small=True), "network", "so far by the small network"),
        (Need(32, 1.0, 0.2, frames=3), "network", "more frames: 3 instead of 1, changed by 1.0 gray levels"),
        (Need(32, 1.0, 0.2, frames=5, kept_frames=3), "reused", "changed by 1.0 gray levels in 0.20 s"),
        (Need(32, 5.0, 3.0, lost=True), "reused", "not detected at present"),
        (Need(32, math.inf, 0.2, lost=True), "skipped", "not detected at present"),
    ],
)
def test_what_a_face_needs(need: Need, treatment: str, reason: str) -> None:
    assert plan([need], math.inf, COSTS, small=True) == [Choice(treatment, reason)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("left_ms", "small", "expected"),
    [
        (10.0, True, ["network", "network"]),
        (7.0, True, ["network", "small network"]),
        (6.9, True, ["network", "bicubic"]),
        (7.0, False, ["network", "bicubic"]),
        (3.9, True, ["small network", "bicubic"]),
        (0.5, True, ["bicubic", "bicubic"]),
        (0.3, True, ["bicubic", "skipped"]),
        (0.0, True, ["skipped", "skipped"]),
        (-50.0, True, ["skipped", "skipped"]),
    ],
)
def test_new_faces_within_a_budget(left_ms: float, small: bool, expected: list[str]) -> None:
    choices = plan([Need(32), Need(32)], left_ms, COSTS, small)
    assert treatments(choices) == expected
    downgraded = [choice for choice in choices if choice.treatment != "network"]
    assert all("over budget" in choice.reason and "ms left" in choice.reason for choice in downgraded)


def test_a_face_of_several_crops_needs_the_time_of_their_network() -> None:
    need = Need(32, 6.0, 0.1, frames=3)
    assert treatments(plan([need], 6.0, COSTS, small=True)) == ["network"]
    (choice,) = plan([need], 5.9, COSTS, small=True)
    assert choice.treatment == "small network"
    assert choice.reason == "over budget (changed by 6.0 gray levels): 5.4 ms left, the network needs 6.0 ms"


def test_new_tracks_come_before_changed_ones_and_these_before_old_ones() -> None:
    needs = [Need(32, 1.0, 1.2), Need(32, 6.0, 0.1), Need(32)]
    assert treatments(plan(needs, 6.1, COSTS, small=False)) == ["reused", "reused", "network"]
    assert treatments(plan(needs, 11.0, COSTS, small=False)) == ["reused", "network", "network"]


def test_a_waiting_face_overtakes_new_ones() -> None:
    needs = [Need(32, 6.0, 8.0), Need(32)]
    assert treatments(plan(needs, 5.3, COSTS, small=False)) == ["network", "bicubic"]


def test_a_changed_face_over_budget_is_moved_and_a_lost_one_enlarged() -> None:
    choices = plan([Need(32, 5.0, 0.1), Need(32, math.inf, 0.1)], 1.0, COSTS, small=False)
    assert treatments(choices) == ["reused", "bicubic"]
    assert "changed by 5.0 gray levels" in choices[0].reason


def test_the_plan_keeps_to_the_time_that_is_left() -> None:
    rng = random.Random(0)
    names = {"network": "network", "small network": "small network", "reused": "reuse", "bicubic": "bicubic"}
    for _ in range(300):
        needs = [
            Need(rng.choice((32, 64)), rng.choice((None, 0.5, 4.0, 9.0, math.inf)), rng.uniform(0, 3))
            for _ in range(rng.randint(0, 30))
        ]
        left_ms = rng.uniform(0, 60)
        choices = plan(needs, left_ms, COSTS, small=rng.random() < 0.5)
        planned = [
            COSTS[names[choice.treatment], need.side]
            for choice, need in zip(choices, needs, strict=True)
            if choice.treatment != "skipped"
        ]
        assert len(choices) == len(needs)
        assert sum(planned) <= left_ms + 1e-6


def test_without_a_limit_every_face_gets_what_it_needs() -> None:
    assert treatments(plan([Need(64) for _ in range(50)], math.inf, COSTS, small=True)) == ["network"] * 50


def test_detection_goes_to_the_longest_waiting_cameras() -> None:
    assert due_for_detection([0.3, math.inf, 0.5], [8.0, 8.0, 8.0], 17.0, 8.0) == ([1, 2], 1.0)
    assert due_for_detection([], [], 10.0, 8.0) == ([], 8.0)


def test_detection_is_not_repeated_within_its_interval() -> None:
    assert due_for_detection([DETECT_S / 2, 2 * DETECT_S], [8.0, 8.0], 50.0, 8.0)[0] == [1]
    assert due_for_detection([0.0], [8.0], 50.0, 8.0) == ([], 8.0), "what is not used is kept for one detection"


def test_a_detection_that_exceeds_a_turn_runs_when_enough_was_saved() -> None:
    credit_ms, turns = 0.0, []
    for turn in range(12):
        due, credit_ms = due_for_detection([math.inf], [40.0], credit_ms + 10.0, 40.0)
        turns += [turn] * len(due)
    assert turns == [3, 7, 11]


def test_an_expensive_camera_beside_a_cheap_one_gets_its_turn() -> None:
    credit_ms, counts = 0.0, {"small": 0, "large": 0}
    for turn in range(60):
        name, cost = ("small", 5.0) if turn % 2 else ("large", 40.0)
        due, credit_ms = due_for_detection([math.inf], [cost], credit_ms + 10.0, 40.0)
        counts[name] += len(due)
    assert counts["large"] >= 8
    assert counts["small"] >= 20


def test_faces_are_registered_as_time_allows_the_longest_waiting_first() -> None:
    waiting_s = [0.1, math.inf, 0.3]
    assert due_for_registration(waiting_s, [2.0, 2.0, 2.0], math.inf) == ([1, 2, 0], 6.0)
    assert due_for_registration(waiting_s, [2.0, 2.0, 2.0], 5.0) == ([1, 2], 1.0)
    assert due_for_registration([-math.inf, 0.1], [2.0, 2.0], 5.0) == ([1], 3.0), "the first is not to be registered"
    assert due_for_registration([], [], 5.0) == ([], 0.0)


def test_a_registration_that_exceeds_its_share_of_a_turn_waits_for_the_next() -> None:
    credit_ms, turns = 0.0, []
    for turn in range(6):
        due, credit_ms = due_for_registration([0.1], [5.0], credit_ms + 2.5)
        turns += [turn] * len(due)
    assert turns == [1, 3, 5]


def test_costs_rise_quickly_and_fall_slowly() -> None:
    costs = Costs()
    assert costs["network", 32] == 0.0
    costs.add(("network", 32), 20.0, 4)
    assert costs["network", 32] == 5.0
    costs.add(("network", 32), 10.0)
    risen = costs["network", 32]
    costs.add(("network", 32), risen - 5.0)
    assert risen - 5.0 == pytest.approx(1.5)
    assert risen - costs["network", 32] == pytest.approx(0.5)
    costs.add(("network", 32), 1e6)
    assert costs["network", 32] < 15, "one call during which the process slept counts little"
