"""A thread that reads frames from files, sources and iterables, with the hand-over and the facts of a live stream."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...engines.errors import InputError, one_line
from ..media.live.mailbox import Listener, Mailbox, Seen, nothing
from ..media.live.reader import STOP_S, stop_at_exit
from ..media.live.still import PictureWatch, pixel_rows
from ..media.source_sink import Source
from ..media.url import masked
from ..pipeline.frame import Frame, bgr_from

Frames = Iterable[Frame | NDArray[np.uint8]]


class SourceReader:
    """Reads frames in a thread until their end, or until it is stopped.

    Args:
        open_frames: called in the thread; returns the source or iterable, which this class closes.
        name: name for messages, without credentials.
        waits: see `Mailbox`.
        deliver_damaged: give damaged frames to the consumer, instead of dropping them with the cause "damaged".
        on_change: see `Mailbox`.

    Attributes:
        mailbox: frames and facts.
    """

    def __init__(
        self,
        open_frames: Callable[[], Frames],
        name: str,
        waits: bool,
        deliver_damaged: bool,
        on_change: Listener = nothing,
    ) -> None:
        self.mailbox: Mailbox[Frame] = Mailbox(1, waits, on_change)
        self._open, self._name, self._deliver_damaged = open_frames, name, deliver_damaged
        self._watch = None if waits else PictureWatch()
        self._source: Source | None = None
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name=f"reader of {name}", daemon=True)
        stop_at_exit(self)
        self._thread.start()

    def request_stop(self) -> None:
        """Let the thread end after its current frame; takes no lock, so it may be called by the garbage collector."""
        self.mailbox.closed = True

    def stop(self) -> None:
        """Stop now, without waiting for it: a source that waits for its camera waits no longer."""
        self.mailbox.close()
        if self._source is not None:
            self._source.request_stop()

    def join(self, timeout_s: float = STOP_S) -> None:
        """Close the source and wait for the thread, at most `timeout_s` seconds; in a forked child there is none."""
        if self._process != os.getpid() or self._thread is threading.current_thread():
            return
        # A live source waits for its own thread when it is closed; `stop` has woken it, and the reader closes it.
        if self._source is not None and self._source.kind != "live":
            self._source.close()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        error = None
        try:
            self._read(self._open())
        except InputError as failure:
            error = failure
        except BaseException as failure:  # of a user's iterable, SystemExit too; reported by the state
            error = InputError(f"{self._name} failed: {masked(one_line(failure)) or type(failure).__name__}")
        self.mailbox.note(connected=False, ended=True, error=None if self.mailbox.closed else error)

    def _read(self, frames: Frames) -> None:
        self._source = source = frames if isinstance(frames, Source) else None
        iterator, start_s = iter(frames), time.monotonic()
        try:
            if self.mailbox.closed:  # stopped before there was a source to wake
                return
            self.mailbox.note(opened=True, opened_s=start_s, rate=source.rate if source else None)
            for index, item in enumerate(iterator):
                if self.mailbox.closed:
                    return
                self._put(item, index, start_s)
        finally:
            for owner in (iterator, source):
                if close := getattr(owner, "close", None):
                    close()

    def _put(self, item: Frame | NDArray[np.uint8], index: int, start_s: float) -> None:
        now_s = time.monotonic()
        frame = item if isinstance(item, Frame) else Frame(bgr_from(item), index, now_s - start_s)
        frame = frame if frame.arrival_s is not None else replace(frame, arrival_s=now_s)
        height, width = frame.pixels.shape[:2]
        if self._watch is not None:
            self._watch.see(pixel_rows(frame.pixels), True, now_s)
        drop = "damaged" if frame.damaged and not self._deliver_damaged else ""
        changed_s = None if self._watch is None else self._watch.changed_s
        damaged_packets = self._source.damaged_packets if self._source else 0
        self.mailbox.put(frame, Seen(now_s, (width, height), changed_s, damaged_packets), drop)
