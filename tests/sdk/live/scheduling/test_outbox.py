"""Results that wait for their consumer."""

from __future__ import annotations

import threading
import time
from typing import Any

from facesr_edge.sdk.live.scheduling.outbox import Outbox
from support.live_results import live_result


def result(camera: str, index: int, **changes: Any) -> Any:
    return live_result(camera=camera, index=index, **changes)


def test_a_newer_result_replaces_the_one_that_waits_and_keeps_its_turn() -> None:
    box = Outbox()
    for camera, index in (("a", 0), ("b", 0), ("a", 1)):
        box.put(result(camera, index))
    got = [box.get(0), box.get(0)]
    assert [(one.camera, one.source.index) for one in got if one] == [("a", 1), ("b", 0)]
    assert box.get(0) is None


def test_what_a_result_tells_once_is_not_lost_with_it() -> None:
    box = Outbox()
    box.put(result("a", 0, ended=(1,), dropped=3))
    box.put(result("a", 1, ended=(2, 3), dropped=1))
    got = box.get(0)
    assert got is not None
    assert (got.source.index, got.ended_tracks, got.dropped) == (1, (1, 2, 3), 4)


def test_nothing_comes_after_results_were_discarded() -> None:
    box = Outbox()
    box.close(discard=True)
    box.put(result("a", 0))
    assert box.get(0) is None


def test_waiting_takes_nothing() -> None:
    box = Outbox()
    box.put(result("a", 0))
    box.wait(1.0)
    assert box.get(0) is not None


def test_room_is_per_camera() -> None:
    box = Outbox()
    box.put(result("a", 0))
    assert not box.has_room("a")
    assert box.has_room("b")


def test_what_waits_is_given_out_after_the_end() -> None:
    box = Outbox()
    box.put(result("a", 0))
    box.close()
    assert box.get() is not None
    assert box.get() is None
    box.close(discard=True)


def test_close_wakes_a_waiting_consumer() -> None:
    box, ended = Outbox(), threading.Event()
    thread = threading.Thread(target=lambda: (box.get(), ended.set()))
    thread.start()
    time.sleep(0.05)
    assert not ended.is_set()
    box.close()
    assert ended.wait(2)
    thread.join()


def test_room_is_announced_when_a_result_is_taken() -> None:
    taken: list[str] = []
    box = Outbox(on_room=lambda: taken.append("room" if box.has_room("a") else "none"))
    box.put(result("a", 0))
    assert taken == []
    box.get(0)
    box.get(0)
    assert taken == ["room"]
