"""Results that wait for their consumer."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from ..results import LiveResult


class Outbox:
    """At most one result of each camera waits; a newer one replaces it unless nothing may be lost. Thread-safe.

    Args:
        on_room: called in the thread of the consumer when it has taken a result; must be fast.

    Attributes:
        replaced: number of results that were replaced, by camera.
    """

    def __init__(self, on_room: Callable[[], object] = lambda: None) -> None:
        self._on_room = on_room
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, LiveResult] = OrderedDict()
        self._closed = False
        self.replaced: dict[str, int] = {}

    def has_room(self, camera: str) -> bool:
        """Whether no result of a camera waits."""
        with self._changed:
            return camera not in self._waiting

    def put(self, result: LiveResult) -> None:
        """Add a result; one of the same camera that waits is replaced and keeps its turn."""
        with self._changed:
            if result.camera in self._waiting:
                self.replaced[result.camera] = self.replaced.get(result.camera, 0) + 1
            self._waiting[result.camera] = result
            self._changed.notify()

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
            self._closed = True
            if discard:
                self._waiting.clear()
            self._changed.notify_all()
