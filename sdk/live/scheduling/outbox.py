"""Results that wait for their consumer."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from ..results import LiveResult


class Outbox:
    """At most one result of each camera waits; a newer one replaces it unless nothing may be lost. Thread-safe.

    Args:
        on_room: called in the thread of the consumer when it has taken a result; must be fast.
    """

    def __init__(self, on_room: Callable[[], object] = lambda: None) -> None:
        self._on_room = on_room
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, LiveResult] = OrderedDict()
        self._closed = self._discards = False

    def has_room(self, camera: str) -> bool:
        """Whether no result of a camera waits."""
        with self._changed:
            return camera not in self._waiting

    def put(self, result: LiveResult) -> None:
        """Add a result. One of the same camera that waits is replaced, but for what is told once: ends of tracks, and
        numbers of dropped frames; the new one gets its turn."""
        with self._changed:
            if self._discards:
                return
            if earlier := self._waiting.get(result.camera):
                ended, dropped = earlier.ended_tracks + result.ended_tracks, earlier.dropped + result.dropped
                result = replace(result, ended_tracks=ended, dropped=dropped)
            self._waiting[result.camera] = result
            self._changed.notify()

    def wait(self, timeout_s: float) -> None:
        """Wait until a result or the end has come."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout_s)

    def get(self, timeout_s: float | None = None) -> LiveResult | None:
        """The result that has waited longest; None after `close`, or if none comes within the timeout."""
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._waiting:
                left_s = None if end_s is None else end_s - time.monotonic()
                if self._closed or (left_s is not None and left_s <= 0):
                    return None
                self._changed.wait(left_s)
            _, result = self._waiting.popitem(last=False)
        self._on_room()
        return result

    @property
    def closed(self) -> bool:
        """Whether no more results come; some may wait."""
        return self._closed

    def close(self, discard: bool = False) -> None:
        """No more results come; those that wait are still given out unless they are discarded. Idempotent."""
        with self._changed:
            self._closed, self._discards = True, self._discards or discard
            if discard:
                self._waiting.clear()
            self._changed.notify_all()
