"""Results that wait for their consumer."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

from facesr_edge.sdk.live.scheduling.outbox import Outbox


def result(camera: str, index: int) -> Any:
    return SimpleNamespace(camera=camera, index=index)


def test_a_newer_result_replaces_the_one_that_waits_and_keeps_its_turn() -> None:
    box = Outbox()
    for camera, index in (("a", 0), ("b", 0), ("a", 1)):
        box.put(result(camera, index))
    got = [box.get(0), box.get(0)]
    assert [(one.camera, one.index) for one in got if one] == [("a", 1), ("b", 0)]
    assert box.replaced == {"a": 1}
    assert box.get(0) is None


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
