"""Queues of live sinks: a sink writes in a thread of its own, so that a slow or broken one never delays the cameras."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ....engines.errors import FacesrError, SendError, one_line
from ...media.url import masked
from ..observer import Observer
from .sink import LiveSink

if TYPE_CHECKING:
    from ...provenance.network_use import NetworkUse
    from ..camera import CameraStatus
    from ..results import LiveResult

DRAIN_S, DRAIN_ALL_S = 0.5, 60.0
"""How long `close` waits, in seconds: for a batch that is retried, and for items in the queue if none is dropped."""
FIRST_RETRY_S = 0.25
"""Delay before the first retry, which doubles with each, in seconds."""
MAX_WAIT_S = 30.0
"""How long a run of files waits for a server that does not answer, in seconds; then the items count as failed."""
REPEAT_S = 60.0
"""Minimum time between two logs of the same state, in seconds."""
MAX_STATES = 100
"""States whose last log is remembered, of a sink."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SinkStatistics:
    """What a sink has done so far, in items: results, best shots or messages.

    Args:
        name: of the sink.
        written: items.
        dropped: oldest items, which gave way to newer ones because the sink was too slow.
        failed: items that could not be written.
        queued: items that wait or are being written; once the queue is closed, items that were not written.
        error: of the last write; "" if it succeeded.
    """

    name: str
    written: int
    dropped: int
    failed: int
    queued: int
    error: str


class SinkQueue(Observer):
    """Passes results on to a sink, in a thread of the sink's own.

    The queue is bounded. If it is full, its oldest item is dropped and counted, or the scheduler waits. Errors of the
    sink are counted, logged when they change, and never reach the run.

    Args:
        sink: it is closed by the queue.
        wait: nothing is dropped: the scheduler waits for the sink. For videos and images, never for cameras.
        drain_s: how long `close` waits for the items in the queue, in seconds; None for the default, see
            `LiveSink.drain_s`.
    """

    def __init__(self, sink: LiveSink[Any], *, wait: bool = False, drain_s: float | None = None) -> None:
        self.sink, self._wait = sink, wait
        self._drain_s = drain_s if drain_s is not None else DRAIN_ALL_S if wait else sink.drain_s
        self._items: deque[Any] = deque()
        self._changed = threading.Condition(threading.RLock())
        self._written = self._dropped = self._failed = self._in_flight = 0
        self._error = self._logged = ""
        self._logged_s: dict[str, float] = {}
        self._closing = self._is_reported = False
        self._end_s = self._retry_end_s = float("inf")
        # A daemon thread: a server that does not answer must not delay process exit.
        self._thread = threading.Thread(target=self._run, name=f"sink {sink.name}", daemon=True)
        _open_queues.add(self)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        """Whether the sink is not closed yet."""
        return self._thread.is_alive()

    def statistics(self) -> SinkStatistics:
        """What the sink has done so far."""
        with self._changed:
            queued = len(self._items) + self._in_flight
            return SinkStatistics(self.sink.name, self._written, self._dropped, self._failed, queued, self._error)

    def started(self, network: NetworkUse, small: NetworkUse | None = None, tracks: NetworkUse | None = None) -> None:
        """See `Observer`."""
        self.sink.start(network, small, *([tracks] if tracks else ()))  # sinks need not know of it

    def done(self, result: LiveResult) -> None:
        """See `Observer`."""
        if not self._closing:
            self._put(lambda: self.sink.select(result))

    def changed(self, status: CameraStatus) -> None:
        """See `Observer`."""
        if not self._closing:
            self._put(lambda: self.sink.select_status(status))

    def _put(self, select: Callable[[], Sequence[Any]]) -> None:
        with self._changed:
            try:
                items = select()
            except Exception as error:
                self._failed += 1
                self._tell(error)
                return
            for item in items:
                if self._wait:
                    self._changed.wait_for(lambda: len(self._items) < self.sink.queue_size or self._closing)
                elif len(self._items) >= self.sink.queue_size:
                    self._items.popleft()
                    self._dropped += 1
                self._items.append(item)
            self._changed.notify_all()

    def stop(self) -> None:
        """Begin to close without waiting, so that several queues are drained at the same time; idempotent."""
        with self._changed:
            if not self._closing:
                self._closing, now_s = True, time.monotonic()
                self._end_s, self._retry_end_s = now_s + self._drain_s, now_s + min(self._drain_s, DRAIN_S)
                self._put(self.sink.select_rest)

    def close(self) -> None:
        """Write what waits, for a limited time, and close the sink; idempotent. What is not written is logged."""
        self.stop()
        self._thread.join(max(0.0, self._end_s - time.monotonic()) + self.sink.close_s)
        with self._changed:
            known, self._is_reported = self._is_reported, True
        if known:
            return
        if left := self.statistics().queued:
            _logger.warning("%s: closed with %d items not written", self.sink.name, left)
        elif self._thread.is_alive():
            _logger.warning("%s: not closed within %g s", self.sink.name, self.sink.close_s)

    def _run(self) -> None:
        while (batch := self._take()) is not None:
            if batch:
                self._write(batch)
            else:
                self._try(self.sink.idle)
        self._try(self.sink.close)

    def _try(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            self._tell(error)

    def _take(self) -> list[Any] | None:
        """The next batch; empty if none comes for a while; None if the queue is closed, and drained or out of time."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closing, self.sink.idle_s)
            if self._closing and (not self._items or time.monotonic() >= self._end_s):
                return None
            count = min(len(self._items), self.sink.max_batch)
            batch = [self._items.popleft() for _ in range(count)]
            self._in_flight = count
            self._changed.notify_all()
            return batch

    def _write(self, batch: list[Any]) -> None:
        first_s, delay_s = time.monotonic(), FIRST_RETRY_S
        retry_s = min(self.sink.retry_s, MAX_WAIT_S) if self._wait else self.sink.retry_s
        while True:
            try:
                self.sink.write(batch)
            except SendError as error:
                self._tell(error)
                if time.monotonic() - first_s >= retry_s:
                    return self._fail(error, len(batch))
                if not self._pause(delay_s):
                    self._end_s = 0.0
                    return None  # the batch stays in flight: it was not written
                delay_s = min(2 * delay_s, self.sink.max_delay_s)
            except Exception as error:
                return self._fail(error, len(batch))
            else:
                return self._succeed(len(batch))

    def _pause(self, delay_s: float) -> bool:
        """Wait before a retry; False if the queue is closed, and for a while already."""
        with self._changed:
            if not self._closing:
                self._changed.wait_for(lambda: self._closing, delay_s)
                return True
        time.sleep(FIRST_RETRY_S)
        return time.monotonic() < self._retry_end_s

    def _succeed(self, count: int) -> None:
        with self._changed:
            self._written += count
            self._in_flight = 0
            self._error = ""
        self._log("")

    def _fail(self, error: Exception, count: int) -> None:
        with self._changed:
            self._failed += count
            self._in_flight = 0
        self._tell(error)

    def _tell(self, error: Exception) -> None:
        """Keep the text of an error and log it."""
        text = one_line(masked(str(error) if isinstance(error, FacesrError) else f"{type(error).__name__}: {error}"))
        with self._changed:
            self._error = text
        self._log(text)

    def _log(self, error: str) -> None:
        """Log an error, or that there is none any more, unless it was the last one that was logged.

        The same is not logged twice within `REPEAT_S`: a server may refuse every second request. What lasts is logged
        after that time.
        """
        with self._changed:
            now_s = time.monotonic()
            if error == self._logged or now_s - self._logged_s.get(error, float("-inf")) < REPEAT_S:
                return
            self._logged_s.pop(error, None)  # the oldest comes first
            self._logged, self._logged_s[error] = error, now_s
            if len(self._logged_s) > MAX_STATES:
                del self._logged_s[next(iter(self._logged_s))]
        if error:
            _logger.warning("%s", error if self.sink.name in error else f"{self.sink.name}: {error}")
        else:
            _logger.info("%s: writes again", self.sink.name)


class SinkGroup(Observer):
    """Several sinks, which are drained and closed at the same time.

    Args:
        queues: of the sinks.
    """

    def __init__(self, queues: Sequence[SinkQueue]) -> None:
        self.queues = tuple(queues)

    def statistics(self) -> tuple[SinkStatistics, ...]:
        """What each sink has done so far."""
        return tuple(queue.statistics() for queue in self.queues)

    def started(self, network: NetworkUse, small: NetworkUse | None = None, tracks: NetworkUse | None = None) -> None:
        """See `Observer`."""
        for queue in self.queues:
            queue.started(network, small, tracks)

    def done(self, result: LiveResult) -> None:
        """See `Observer`."""
        for queue in self.queues:
            queue.done(result)

    def changed(self, status: CameraStatus) -> None:
        """See `Observer`."""
        for queue in self.queues:
            queue.changed(status)

    def close(self) -> None:
        """Write what waits, for a limited time, and close the sinks; idempotent."""
        _close(self.queues)

    def __enter__(self) -> SinkGroup:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _close(queues: Sequence[SinkQueue]) -> None:
    """Drain all queues at the same time."""
    for queue in queues:
        queue.stop()
    for queue in queues:
        queue.close()


_open_queues: WeakSet[SinkQueue] = WeakSet()


@atexit.register
def _close_all() -> None:
    """Write what waits before the interpreter ends, also of a run that was not closed."""
    _close([queue for queue in _open_queues if queue.is_open])
