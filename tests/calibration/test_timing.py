"""Interleaved latency measurement and its statistics."""

from itertools import count

import pytest
from facesr_edge.calibration.timing import interleaved, latency_stats, median_ms


def call_order(calls, rounds, **options):
    """Indices of the calls, in order."""
    order = []
    interleaved([lambda n=n: order.append(n) for n in range(calls)], rounds, **options)
    return order


def test_each_call_has_one_turn_of_two_calls_per_round():
    order = call_order(4, 5, warm_up=2)
    assert order[::2] == order[1::2]
    turns = order[::2]
    assert len(turns) == 4 * (2 + 5)
    assert all(sorted(turns[at : at + 4]) == [0, 1, 2, 3] for at in range(0, len(turns), 4))


def test_turns_have_no_discarded_call_if_disabled():
    order = call_order(4, 5, warm_up=0, discard=0)
    assert len(order) == 4 * 5 and sorted(order[:4]) == [0, 1, 2, 3]


def test_order_is_shuffled_per_round_and_reproducible_by_seed():
    order = call_order(6, 8)
    rounds = {tuple(order[at : at + 12 : 2]) for at in range(0, len(order), 12)}
    assert len(rounds) > 5
    assert call_order(6, 8) == order != call_order(6, 8, seed=1)


def test_first_call_of_a_turn_and_warm_up_are_not_measured():
    now, number = [0.0], count()

    def call():
        now[0] += 0.004 if next(number) % 2 else 9.0  # the first call of each turn is slow

    (samples,) = interleaved([call], 3, warm_up=2, clock=lambda: now[0])
    assert samples == pytest.approx([4.0, 4.0, 4.0]) and next(number) == 2 * (2 + 3)


def test_samples_are_assigned_to_their_call():
    now = [0.0]

    def call(seconds):
        now[0] += seconds

    samples = interleaved([lambda: call(0.001), lambda: call(0.5), lambda: call(0.02)], 7, clock=lambda: now[0])
    assert [set(map(round, ms)) for ms in samples] == [{1}, {500}, {20}] and all(len(ms) == 7 for ms in samples)


def test_completed_rounds_are_reported():
    reported = []
    interleaved([lambda: None], 3, warm_up=1, report=reported.append)
    assert reported == [0, 1, 2, 3]


def test_latency_statistics_and_their_json():
    stats = latency_stats([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (stats.best, stats.p50, stats.mean) == (1.0, 3.0, 3.0)
    assert (stats.p10, stats.p90, stats.p99) == pytest.approx((1.4, 4.6, 4.96))
    assert stats.to_dict() == {"p50": 3.0, "p90": 4.6, "p99": 4.96, "mean": 3.0}
    assert stats.to_dict(("best", "p10")) == {"best": 1.0, "p10": 1.4}


@pytest.mark.parametrize(
    ("values", "p50", "p90", "p99"), [([7], 7, 7, 7), ([1, 3], 2, 2.8, 2.98), (list(range(101)), 50, 90, 99)]
)
def test_percentiles_are_interpolated(values, p50, p90, p99):
    result = latency_stats(values)
    assert (result.p50, result.p90, result.p99) == pytest.approx((p50, p90, p99))
    assert result.mean == pytest.approx(sum(values) / len(values))


def test_median_of_each_session_is_returned():
    class Session:
        def __init__(self):
            self.calls = 0

        def infer(self, batch):
            self.calls += 1

    sessions = [Session(), Session()]
    medians = median_ms(sessions, None)
    assert len(medians) == 2 and min(medians) >= 0
    assert sessions[0].calls == sessions[1].calls == 1 + 15
