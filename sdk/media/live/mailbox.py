"""Hand-over of frames from a reader's thread to a consumer, with the facts that the state of a stream follows from."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakSet

from ....engines.errors import InputError, SourceClosedError

Item = TypeVar("Item")
RATE_S = 5.0
"""Time over which a frame rate is measured."""
_MAX_ARRIVALS = 1000
_POLL_S = 0.1  # a reader that is stopped by the garbage collector, which may not notify it, sees it by then

_log = logging.getLogger(__name__)

Listener = Callable[[float | None], None]
"""Called with the arrival of a frame in seconds of `time.monotonic`, or with None after another change."""


def nothing(arrival_s: float | None) -> None:
    """Do nothing: the listener of a stream that nobody listens to."""


@dataclass
class Facts:
    """What is known of a stream. All times are of `time.monotonic`.

    Args:
        opened: a connection was opened at some time.
        connected: the present connection has delivered a frame.
        ended: the reader reads no more.
        error: that ended the last connection or attempt; None while frames come, and after a regular end.
        reconnects: connections after the first that delivered a frame.
        received: decoded frames.
        taken: frames that the consumer took.
        dropped: cause → frames that were not given to the consumer.
        waiting: frames for the consumer.
        damaged_packets: see `Source`.
        opened_s: when the last connection was opened.
        arrived_s: when the last frame was decoded.
        changed_s: when the picture last changed; None if that is not known.
        arrivals_s: when the last frames were decoded, those of the last `RATE_S` seconds at least.
        size_wh, rate: of the stream as announced, then of the last frame.
    """

    opened: bool = False
    connected: bool = False
    ended: bool = False
    error: InputError | None = None
    reconnects: int = 0
    received: int = 0
    taken: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    damaged_packets: int = 0
    opened_s: float | None = None
    arrived_s: float | None = None
    changed_s: float | None = None
    arrivals_s: deque[float] = field(default_factory=lambda: deque(maxlen=_MAX_ARRIVALS))
    size_wh: tuple[int, int] | None = None
    rate: Fraction | None = None

    def fps(self, now_s: float) -> float | None:
        """Frames/s over the last `RATE_S` seconds; None before the second frame."""
        if self.received < 2:
            return None
        recent = [at_s for at_s in self.arrivals_s if at_s > now_s - RATE_S]
        if len(recent) == self.received:  # it began less than RATE_S ago
            return (len(recent) - 1) / max(now_s - recent[0], 1e-3)
        return len(recent) / RATE_S


class Seen(NamedTuple):
    """What a frame tells of its stream, see `Facts`."""

    arrival_s: float
    size_wh: tuple[int, int]
    changed_s: float | None
    damaged_packets: int


class Mailbox(Generic[Item]):
    """Holds the newest frames of a stream; a reader puts them in, a consumer takes them out.

    Args:
        keep: maximum number of frames that wait.
        waits: a reader waits until there is room; False to drop the oldest frame for a new one.
        on_change: called after a frame came or a fact changed; from the reader's thread, without a lock.

    Attributes:
        changed: guards the facts and frames, and is notified when they change.
        facts: see `Facts`.
        closed: nobody takes frames any more.
    """

    def __init__(self, keep: int = 1, waits: bool = False, on_change: Listener = nothing) -> None:
        self.changed = threading.Condition()
        self.facts = Facts()
        self.closed = False
        self._newest: deque[Item] = deque()
        self._keep, self._waits, self._on_change = keep, waits, on_change
        _mailboxes.add(self)
        self._has_failed = False  # the listener: its first error is logged as one

    def put(self, item: Item, seen: Seen, drop: str = "") -> None:
        """Hand over a frame.

        Args:
            item: the frame.
            seen: what it tells of the stream.
            drop: cause why the consumer does not get it; "" if it does.
        """
        with self.changed:
            facts, on_change = self.facts, self._on_change
            facts.reconnects += not facts.connected and facts.received > 0
            facts.connected, facts.error, facts.size_wh = True, None, seen.size_wh
            facts.received += 1
            facts.arrived_s, facts.changed_s = seen.arrival_s, seen.changed_s
            facts.arrivals_s.append(seen.arrival_s)
            facts.damaged_packets = seen.damaged_packets
            if drop:
                facts.dropped[drop] += 1
            else:
                self._append(item)
            self.changed.notify_all()
        self._tell(on_change, seen.arrival_s)

    def _append(self, item: Item) -> None:
        while self._waits and len(self._newest) == self._keep and not self.closed:
            self.changed.wait(_POLL_S)
        self._newest.append(item)
        self._drop_all_but(0 if self.closed else self._keep)

    def _drop_all_but(self, count: int) -> None:
        while len(self._newest) > count:
            self._newest.popleft()
            self.facts.dropped["consumer"] += 1
        self.facts.waiting = len(self._newest)

    def newest(self) -> tuple[Item, ...]:
        """The frames that wait, oldest first; they are not taken."""
        with self.changed:
            return tuple(self._newest)

    def take(self) -> Item | None:
        """Take the oldest frame that waits; None if there is none."""
        with self.changed:
            if not self._newest:
                return None
            self.facts.taken += 1
            item = self._newest.popleft()
            self.facts.waiting = len(self._newest)
            self.changed.notify_all()
            return item

    def note_unreadable(self, error: InputError) -> None:
        """Count a frame that was taken, and cannot be converted, as dropped."""
        with self.changed:
            self.facts.taken -= 1
            self.facts.dropped["unreadable"] += 1
            self.facts.error = error

    def note(self, **facts: Any) -> None:
        """Set facts."""
        with self.changed:
            for name, value in facts.items():
                setattr(self.facts, name, value)
            self.changed.notify_all()
        self._tell(self._on_change, None)

    def _tell(self, on_change: Listener, arrival_s: float | None) -> None:
        try:
            on_change(arrival_s)
        except BaseException as error:  # a fault of the listener, SystemExit too, does not end the reader's thread
            _log.log(logging.DEBUG if self._has_failed else logging.ERROR, "on_change failed", exc_info=error)
            self._has_failed = True

    def listen(self, on_change: Listener) -> None:
        """Call another function from now on, and at once for the frames that have come lately."""
        with self.changed:
            earlier, self._on_change = tuple(self.facts.arrivals_s), on_change
        for arrival_s in earlier:
            on_change(arrival_s)

    def close(self) -> None:
        """Drop the frames that wait, and all that come."""
        with self.changed:
            self.closed = self.facts.ended = True
            self._drop_all_but(0)
            self.changed.notify_all()

    def end_in_child(self) -> None:
        """End the stream in a forked child, where no reader runs and another thread may have held the lock.

        The frames that wait are left alone: they are released and converted with threads of the parent.
        """
        self.changed = threading.Condition()
        self._left, self._newest = self._newest, deque()
        self.closed = self.facts.ended = True
        self.facts.waiting = 0
        self.facts.error = SourceClosedError("the stream belongs to the process that opened it; open it in this one")

    def wait_for(self, happened: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until something happened; False if it did not within the timeout in seconds, None for no limit."""
        with self.changed:
            return self.changed.wait_for(happened, timeout_s)


_mailboxes: WeakSet[Mailbox[Any]] = WeakSet()


def _end_all_in_child() -> None:
    for mailbox in list(_mailboxes):
        mailbox.end_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_end_all_in_child)
