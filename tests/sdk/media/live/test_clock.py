"""Times of the frames of a live stream."""

from __future__ import annotations

import pytest
from facesr_edge.sdk.media.live.clock import StreamClock


def times_s(stream_s: list[float | None], first_arrival_s: float = 100.0) -> list[float]:
    """Times of frames that arrive every 40 ms."""
    clock = StreamClock()
    clock.restart()
    return [clock.time_s(one, first_arrival_s + 0.04 * n) for n, one in enumerate(stream_s)]


@pytest.mark.parametrize(
    ("stream_s", "expected"),
    [
        ([10.0, 10.04, 10.08], [10.0, 10.04, 10.08]),
        ([10.0, 10.04, None, 10.12, None, 10.2], [10.0, 10.04, 10.08, 10.12, 10.16, 10.2]),
        ([None, None, None], [0.0, 0.04, 0.08]),
        ([None, 10.0, 10.04], [0.0, 0.04, 0.08]),  # the times begin with the first frame
        ([10.0, 10.04, 0.0, 0.04], [10.0, 10.04, 10.08, 10.12]),
    ],
)
def test_a_frame_without_a_time_leaves_the_others_theirs(stream_s: list[float | None], expected: list[float]) -> None:
    assert times_s(stream_s) == pytest.approx(expected)


def test_times_go_on_after_a_reconnection_that_begins_without_a_time() -> None:
    clock = StreamClock()
    before = [clock.time_s(10.0, 100.0), clock.time_s(10.04, 100.04)]
    clock.restart()
    after = [clock.time_s(None, 101.04), clock.time_s(500.0, 101.08), clock.time_s(500.04, 101.12)]
    assert before + after == pytest.approx([10.0, 10.04, 11.04, 11.08, 11.12])
