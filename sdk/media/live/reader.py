"""The reader of a live stream: a thread that connects, decodes, keeps the newest frames, and connects again."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import random
import threading
import time
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakSet

import av

from ....engines.errors import InputError
from ..connection_errors import disconnected, silent
from ..fork import keep_in_child
from ..reasons import error_reason
from .clock import StreamClock
from .connection import Decoded, LiveConnection, LiveInput
from .mailbox import Listener, Mailbox, Seen, nothing
from .reconnect import Reconnect, is_fatal
from .still import PictureWatch, plane_rows

STOP_S = 0.5
"""Maximum wait for a thread that is to stop; one that is blocked in FFmpeg ends later, at FFmpeg's own timeout."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """A decoded frame.

    Args:
        index: position in the stream, dropped frames included; goes on over reconnections.
        time_s: presentation time in seconds; goes on over reconnections.
        decoded: as FFmpeg decodes it.
        damaged, arrival_s, clock_s: see `Frame`.
    """

    index: int
    time_s: float
    decoded: av.VideoFrame
    damaged: bool
    arrival_s: float
    clock_s: float | None


class LiveReader:
    """Reads a stream in a thread from its creation until its end, or until it is stopped.

    Args:
        source: to read.
        keep, waits: see `Mailbox`.
        reconnect: delays between attempts to connect; None to end at the first error.
        deliver_damaged: give damaged frames to the consumer, instead of dropping them with the cause "damaged".
        on_change: see `Mailbox`.

    Attributes:
        mailbox: frames and facts.
    """

    def __init__(
        self,
        source: LiveInput,
        keep: int = 1,
        waits: bool = False,
        reconnect: Reconnect | None = None,
        deliver_damaged: bool = True,
        on_change: Listener = nothing,
    ) -> None:
        self.mailbox: Mailbox[LiveFrame] = Mailbox(keep, waits, on_change)
        self._source, self._reconnect, self._deliver_damaged = source, reconnect, deliver_damaged
        self._clock, self._watch = StreamClock(), PictureWatch()
        self._index = self._failures = 0
        self._start_s = self._attempt_s = time.monotonic()
        self._connection: LiveConnection | None = None
        # Its `put` takes no lock of Python, so the garbage collector may call it from this thread too.
        self._stop: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopped, self._process = False, os.getpid()
        keep_in_child(self)
        # A daemon thread: a read that blocks inside the driver cannot be cancelled and must not delay process exit.
        self._thread = threading.Thread(target=self._run, name=f"reader of {source.name}", daemon=True)
        stop_at_exit(self)
        self._thread.start()

    def request_stop(self) -> None:
        """Let the thread end after its current read; takes no lock, so it may be called by the garbage collector."""
        self._stopped = self.mailbox.closed = True
        self._stop.put(None)

    def stop(self) -> None:
        """Stop, and drop the frames that wait."""
        self.request_stop()
        self.mailbox.close()

    def join(self, timeout_s: float = STOP_S) -> None:
        """Wait for the thread to end, at most `timeout_s` seconds; in a forked child there is none."""
        if self._process == os.getpid() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        error = self._attempt()
        while error is not None and (delay_s := self._delay_s(error)) is not None:
            level = logging.WARNING if self._failures == 1 else logging.DEBUG
            _log.log(level, "%s; next attempt in %.1f s", error, delay_s)
            self.mailbox.note(connected=False, error=error)
            if self._stopped_within(delay_s):
                break
            error = self._attempt()
        self.mailbox.note(connected=False, ended=True, error=None if self._stopped else error)

    def _delay_s(self, error: InputError) -> float | None:
        """Delay before the next attempt to connect; None if there is none."""
        if self._reconnect is None or self._stopped or is_fatal(error, self._index > 0):
            return None
        now_s, facts = time.monotonic(), self.mailbox.facts
        if facts.arrived_s is not None and facts.arrived_s > self._attempt_s:
            self._failures = 0
        self._failures += 1
        give_up_s = self._reconnect.give_up_s
        if give_up_s is not None and now_s - (facts.arrived_s or self._start_s) > give_up_s:
            return None
        return self._reconnect.delay_s(self._failures, now_s - self._attempt_s, random.random())

    def _stopped_within(self, delay_s: float) -> bool:
        try:
            self._stop.get(timeout=delay_s)
        except queue.Empty:
            return False
        return True

    def _attempt(self) -> InputError | None:
        """Connect, and read to the end of the connection; returns the error, None after a regular end."""
        name, self._attempt_s = self._source.name, time.monotonic()
        try:
            with LiveConnection(self._source) as self._connection:
                return self._read(self._connection)
        except InputError as error:
            return error
        except TimeoutError:
            return silent(name, "no data", self._source.timeout_s)
        except Exception as error:  # reported to the consumer's thread
            return disconnected(name, error_reason(error))
        finally:
            self._connection = None

    def _read(self, connection: LiveConnection) -> InputError | None:
        size_wh = connection.size_wh or self.mailbox.facts.size_wh
        self.mailbox.note(opened=True, opened_s=time.monotonic(), size_wh=size_wh, rate=connection.rate)
        self._clock.restart()
        before = self.mailbox.facts.damaged_packets
        try:
            for decoded in connection.frames(lambda: self._stopped):
                self._put(decoded, before + connection.damage.packets)
        finally:
            self.mailbox.note(damaged_packets=before + connection.damage.packets)
        return None if self._stopped else connection.end_error()

    def _put(self, decoded: Decoded, damaged_packets: int) -> None:
        frame, arrival_s = decoded.frame, time.monotonic()
        time_s = self._clock.time_s(frame.time, arrival_s)
        live = LiveFrame(self._index, time_s, frame, decoded.damaged, arrival_s, decoded.clock_s)
        self._index += 1
        drop = "damaged" if decoded.damaged and not self._deliver_damaged else ""
        self._watch.see(plane_rows(frame), frame.key_frame, arrival_s)
        seen = Seen(arrival_s, (frame.width, frame.height), self._watch.changed_s, damaged_packets)
        self.mailbox.put(live, seen, drop)


class StoppedAtExit(Protocol):
    """A reader with a thread of its own."""

    def request_stop(self) -> None:
        """Let the thread end."""

    def join(self, timeout_s: float) -> None:
        """Wait for it."""


_readers: WeakSet[StoppedAtExit] = WeakSet()


def stop_at_exit(reader: StoppedAtExit) -> None:
    """Stop a reader before the interpreter ends: a thread that then returns from FFmpeg may abort the process."""
    _readers.add(reader)


def _stop_all() -> None:
    """Stop all readers before the interpreter ends."""
    running, end_s = list(_readers), time.monotonic() + STOP_S
    for reader in running:
        reader.request_stop()
    for reader in running:
        reader.join(max(0.0, end_s - time.monotonic()))


atexit.register(_stop_all)
