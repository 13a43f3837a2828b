"""Calls in turn: each once a round, in an order drawn anew, the second of two counted."""

from itertools import count

import pytest
from facesr_edge.calibration.timing import interleaved, latency_stats


def order_of(calls, rounds, **options):
    """Which calls were made, in order."""
    made = []
    interleaved([lambda n=n: made.append(n) for n in range(calls)], rounds, **options)
    return made


def test_every_call_has_one_turn_of_two_calls_a_round():
    made = order_of(4, 5, warm_up=2)
    assert made[::2] == made[1::2]  # twice in a row
    turns = made[::2]
    assert len(turns) == 4 * (2 + 5)
    assert all(sorted(turns[at : at + 4]) == [0, 1, 2, 3] for at in range(0, len(turns), 4))


def test_the_order_differs_from_round_to_round_and_is_the_same_for_a_seed():
    made = order_of(6, 8)
    rounds = {tuple(made[at : at + 12 : 2]) for at in range(0, len(made), 12)}
    assert len(rounds) > 5
    assert order_of(6, 8) == made != order_of(6, 8, seed=1)


def test_the_second_call_of_a_turn_counts_and_warm_up_does_not():
    now, slow = [0.0], count()

    def call():
        now[0] += 0.004 if next(slow) % 2 else 9.0  # every first call of a turn takes long

    (taken,) = interleaved([call], 3, warm_up=2, clock=lambda: now[0])
    assert taken == pytest.approx([4.0, 4.0, 4.0]) and next(slow) == 2 * (2 + 3)


def test_times_go_to_the_call_that_took_them():
    now = [0.0]

    def call(seconds):
        now[0] += seconds

    taken = interleaved([lambda: call(0.001), lambda: call(0.5), lambda: call(0.02)], 7, clock=lambda: now[0])
    assert [set(map(round, ms)) for ms in taken] == [{1}, {500}, {20}] and all(len(ms) == 7 for ms in taken)


def test_rounds_done_are_told():
    told = []
    interleaved([lambda: None], 3, warm_up=1, watch=told.append)
    assert told == [0, 1, 2, 3]


def test_a_spread_is_best_percentiles_and_median():
    told = latency_stats([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (told.best, told.p50) == (1.0, 3.0)
    assert (told.p10, told.p90) == pytest.approx((1.4, 4.6))
