"""State, clocks and hand-over of live streams, as functions of facts and times."""

from __future__ import annotations

import struct
import threading
from fractions import Fraction
from typing import Any

import pytest
from av.packet import Packet
from facesr_edge.engines.errors import SourceBrokenError
from facesr_edge.sdk.media.live.clock import CameraClock, StreamClock
from facesr_edge.sdk.media.live.mailbox import Facts, Mailbox, Seen
from facesr_edge.sdk.media.live.state import live_state

NOW_S = 100.0
ERROR = SourceBrokenError("broken")


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, "connecting"),
        ({"opened": True}, "connecting"),
        ({"error": ERROR}, "offline"),
        ({"connected": True, "received": 1, "arrived_s": 99.0, "changed_s": 99.0}, "live"),
        ({"connected": True, "received": 1, "arrived_s": 97.9, "changed_s": 97.9}, "frozen"),
        ({"connected": True, "received": 9, "arrived_s": 99.9, "changed_s": 95.1}, "live"),
        ({"connected": True, "received": 9, "arrived_s": 99.9, "changed_s": 94.9}, "frozen"),
        ({"connected": True, "received": 9, "arrived_s": 99.9, "changed_s": None}, "live"),
        ({"received": 9, "arrived_s": 99.9, "changed_s": 99.9, "error": ERROR}, "offline"),
        ({"received": 9, "arrived_s": 99.9, "changed_s": 99.9}, "offline"),
        ({"ended": True, "received": 9, "error": ERROR}, "ended"),
        ({"ended": True, "received": 9}, "ended"),
    ],
)
def test_state_follows_from_the_facts(facts: dict[str, Any], state: str) -> None:
    assert live_state(Facts(**facts), NOW_S, stall_s=2.0, frozen_s=5.0) == state


def test_stream_has_not_ended_while_a_frame_waits() -> None:
    facts = Facts(ended=True, connected=True, received=5, waiting=1, arrived_s=0.0, changed_s=0.0)
    assert live_state(facts, NOW_S, 2.0, 5.0) == "live"


def test_time_goes_on_over_reconnections() -> None:
    clock = StreamClock()
    clock.restart()
    assert [clock.time_s(stream_s, at_s) for stream_s, at_s in ((7.0, 50.0), (7.04, 50.1))] == [7.0, 7.04]
    clock.restart()
    assert clock.time_s(0.0, 53.1) == pytest.approx(10.04)
    assert clock.time_s(0.04, 53.1) == pytest.approx(10.08)


def test_time_never_goes_back_within_a_connection() -> None:
    clock = StreamClock()
    times_s = [clock.time_s(stream_s, at_s) for stream_s, at_s in ((5.0, 1.0), (5.0, 1.0), (2.0, 1.5), (2.5, 1.6))]
    assert times_s == pytest.approx([5.0, 5.001, 5.501, 6.001])


def test_arrival_stands_in_for_missing_times() -> None:
    clock = StreamClock()
    assert [clock.time_s(None, at_s) for at_s in (50.0, 50.5, 51.0)] == [0.0, 0.5, 1.0]


def test_clock_of_the_camera_follows_its_last_report() -> None:
    class Report:
        """A packet with FFmpeg's AVProducerReferenceTime, which PyAV can read and not write."""

        pts, time_base = 90_000, Fraction(1, 90_000)

        def has_sidedata(self, name: str) -> bool:
            return name == "prft"

        def get_sidedata(self, name: str) -> bytes:
            return struct.pack("<qi", 1_700_000_001_500_000, 24)

    clock = CameraClock()
    assert clock.time_s(1.0) is None
    clock.sent(Packet(b"without a report"))
    assert clock.time_s(1.0) is None
    clock.sent(Report())  # type: ignore[arg-type]
    assert clock.time_s(1.0) == pytest.approx(1_700_000_001.5, abs=1e-6)
    assert clock.time_s(3.0) == pytest.approx(1_700_000_003.5, abs=1e-6)
    assert clock.time_s(None) is None


def seen(at_s: float) -> Seen:
    return Seen(at_s, (64, 48), at_s, 0)


def test_newest_frames_replace_older_ones_and_are_counted() -> None:
    arrivals_s: list[float | None] = []
    mailbox: Mailbox[int] = Mailbox(2, on_change=arrivals_s.append)
    for index in range(5):
        mailbox.put(index, seen(index))
    mailbox.put(5, seen(5), drop="damaged")
    assert [mailbox.take(), mailbox.take(), mailbox.take()] == [3, 4, None]
    facts = mailbox.facts
    assert (facts.received, facts.taken, dict(facts.dropped)) == (6, 2, {"consumer": 3, "damaged": 1})
    assert arrivals_s == [0, 1, 2, 3, 4, 5]


def test_reader_waits_for_room_until_the_mailbox_is_closed() -> None:
    mailbox: Mailbox[int] = Mailbox(1, waits=True)
    mailbox.put(0, seen(0))
    thread = threading.Thread(target=lambda: [mailbox.put(index, seen(index)) for index in (1, 2, 3)])
    thread.start()
    taken = []
    while len(taken) < 2:
        if (item := mailbox.take()) is not None:
            taken.append(item)
    mailbox.close()
    thread.join(5)
    assert not thread.is_alive()
    assert taken == [0, 1]
    facts = mailbox.facts
    assert facts.received == 4 == facts.taken + facts.dropped["consumer"]
    assert mailbox.take() is None


def test_connections_after_the_first_are_counted_when_a_frame_comes() -> None:
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put(0, seen(0))
    for attempt in range(3):
        mailbox.note(connected=False, error=ERROR)
        assert mailbox.facts.reconnects == attempt
        mailbox.put(1, seen(1))
        assert mailbox.facts.error is None
    assert mailbox.facts.reconnects == 3


@pytest.mark.parametrize(
    ("arrivals_s", "now_s", "fps"),
    [([], 10, None), ([1], 10, None), ([1, 1.5, 2, 2.5], 2.5, 2.0), ([i / 10 for i in range(100)], 10, 10.0)],
)
def test_frame_rate_is_that_of_the_last_seconds(arrivals_s: list[float], now_s: float, fps: float | None) -> None:
    mailbox: Mailbox[int] = Mailbox()
    for at_s in arrivals_s:
        mailbox.put(0, seen(at_s))
    assert mailbox.facts.fps(now_s) == (None if fps is None else pytest.approx(fps, rel=0.03))
    if fps:
        assert mailbox.facts.fps(now_s + 60) == 0
