"""What each stage of a frame cost on the GPU, by the GPU's own clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..engines.cuda import Gpu
from ..engines.streams import Event, Stream
from .timings import Span


class EventClock:
    """Times stretches of a stream's work by CUDA events, without waiting for any of it.

    A stretch lasts from when the stream reaches its start to when it has passed its end: what the host does
    meanwhile counts where the stream has nothing else to do.

    Args:
        gpu: whose clock it is.
        stream: whose work is timed.
    """

    def __init__(self, gpu: Gpu, stream: Stream) -> None:
        self._gpu, self._stream = gpu, stream
        self._events: list[Event] = []
        self._used = 0
        self._stages: list[tuple[str, Event, Event]] = []

    def begin(self) -> None:
        """Forget what was timed; the events are used again."""
        self._used = 0
        self._stages.clear()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is queued inside the ``with``."""
        start = self._mark()
        yield
        self._stages.append((name, start, self._mark()))

    def spans(self) -> list[Span]:
        """What was timed, laid onto the host's clock: the end of the last stretch is now.

        To be called right after the stream was waited for.
        """
        now = time.perf_counter_ns()
        if not self._stages:
            return []
        last = self._events[self._used - 1]
        return [
            Span(name, now - _nanoseconds(start, last), _nanoseconds(start, end)) for name, start, end in self._stages
        ]

    def close(self) -> None:
        """Give the events back; harmless when done already."""
        self.begin()
        for event in self._events:
            event.close()
        self._events.clear()

    def _mark(self) -> Event:
        if self._used == len(self._events):
            self._events.append(self._gpu.event())
        event = self._events[self._used]
        event.record(self._stream)
        self._used += 1
        return event


def _nanoseconds(start: Event, end: Event) -> int:
    return round(1e6 * end.milliseconds_since(start))
