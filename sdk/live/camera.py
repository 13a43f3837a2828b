"""A camera of the live runtime: a reader's thread, the newest frame, and the state.

with Camera("rtsp://host/main", CameraOptions(detect_source="rtsp://host/sub")) as camera:
    frame = camera.take()                      # Frame or None, never blocks
    small = camera.detection_frame(frame)      # frame of the sub-stream nearest in time, or None
    camera.status()                            # CameraStatus: state, error, counts, age
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

import numpy as np
from av.error import FFmpegError

from ...engines.errors import InputError, SourceBrokenError, UsageError, one_line
from ..media.live.connection import LiveInput
from ..media.live.mailbox import Listener, Mailbox, nothing
from ..media.live.reader import STOP_S, LiveFrame, LiveReader
from ..media.live.reconnect import Reconnect
from ..media.live.source import frame_from
from ..media.live.state import LiveState, live_state
from ..media.reasons import error_reason
from ..media.source_sink import Source
from ..media.sources import live_input, open_source
from ..media.url import Transport, masked
from ..media.video.color_conversion import BgrConverter
from ..media.video.decoding import choose_decoding
from ..pipeline.frame import Frame
from .source_reader import Frames, SourceReader

CameraState = LiveState
Policy = Literal["auto", "newest", "wait"]

MAX_APART_S = 0.5
"""A frame of the sub-stream that is further away in time than this shows another scene."""
_SUB_FRAMES = 8

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CameraOptions:
    """How a camera is read.

    Args:
        timeout_s: maximum wait for the connection, and for data before the connection is given up, in seconds.
        stall_s: time without a frame after which the camera is frozen, in seconds.
        frozen_s: time without a change of the picture after which it is frozen, in seconds.
        reconnect: delays between attempts to connect; None to end at the first error.
        transport: of RTSP: tcp, udp; auto for TCP, and UDP where the server refuses it.
        policy: newest gives the newest frame and drops older ones; wait drops none, and reads no faster than frames are
            taken; auto is newest for live sources and wait for finite ones.
        deliver_damaged: deliver damaged frames of a live source, flagged; else they are dropped and counted.
        hwaccel, threads: decoding, see `open_source`.
        detect_source: URL of a smaller stream of the same camera, to detect faces in.

    Raises:
        UsageError: a value out of its range.
    """

    timeout_s: float = 5.0
    stall_s: float = 2.0
    frozen_s: float = 5.0
    reconnect: Reconnect | None = field(default_factory=Reconnect)
    transport: Transport = "auto"
    policy: Policy = "auto"
    deliver_damaged: bool = False
    hwaccel: str | None = None
    threads: int = 0
    detect_source: str | None = None

    def __post_init__(self) -> None:
        for name in ("timeout_s", "stall_s", "frozen_s"):
            if getattr(self, name) <= 0:
                raise UsageError(f"expected {name} above 0 seconds, got {getattr(self, name):g}")
        for name, known in (("transport", get_args(Transport)), ("policy", get_args(Policy))):
            if getattr(self, name) not in known:
                raise UsageError(f"expected {name} of {', '.join(known)}, got '{getattr(self, name)}'")


@dataclass(frozen=True)
class CameraStatus:
    """State and counts of a camera at one moment.

    Args:
        name: of the camera, without credentials.
        state: see `live_state`.
        error: why the camera is offline or has ended, one line; "" if nothing is wrong.
        received: decoded frames: `taken`, `dropped` and those that wait: one, two where `waits`.
        taken: frames that the consumer took.
        dropped: cause → frames: "consumer" were not taken in time, "damaged" came before the next key frame,
            "unreadable" cannot be converted to BGR.
        damaged_packets: packets that could not be decoded.
        reconnects: connections after the first that delivered a frame.
        newest_age_s: time since the newest frame was decoded, in seconds; None before the first.
        fps: frames/s received over the last seconds; None before the second frame.
        size_wh: width and height of the newest frame in pixels; None before the first connection.
    """

    name: str
    state: CameraState
    error: str
    received: int
    taken: int
    dropped: dict[str, int]
    damaged_packets: int
    reconnects: int
    newest_age_s: float | None
    fps: float | None
    size_wh: tuple[int, int] | None


class _Reader(Protocol):
    @property
    def mailbox(self) -> Mailbox[Any]: ...
    def request_stop(self) -> None: ...
    def stop(self) -> None: ...
    def join(self, timeout_s: float = ...) -> None: ...


class Camera:
    """Frames of one camera, read and decoded in a thread of its own from its creation on; a context manager.

    Opening does not block and raises nothing: a camera that is off is connecting, then offline, and live once it is
    back. `frozen` follows from the time alone: it shows in the next `status`.

    Args:
        source: camera index, device, URL or file, see `open_source`; a `Source`; or an iterable of frames or (H, W, 3)
            uint8 BGR arrays. A source and an iterator are closed with the camera.
        options: how to read it.
        name: for messages; None for the source's own, without credentials.
        on_change: called from the reader's thread when a frame came or a connection began or ended; must be fast.

    Attributes:
        name: see above.
        waits: no frame is dropped, see `CameraOptions.policy`.

    Raises:
        UsageError: the hardware for decoding does not work, or there is no such kind of source.
    """

    def __init__(
        self,
        source: str | int | os.PathLike[str] | Frames,
        options: CameraOptions = CameraOptions(),
        *,
        name: str | None = None,
        on_change: Listener = nothing,
    ) -> None:
        if not isinstance(source, str | int | os.PathLike | Iterable) or isinstance(source, np.ndarray):
            raise UsageError(f"expected a URL, camera, file, Source or iterable of frames, got {type(source).__name__}")
        self._options = options
        location = os.fspath(source) if isinstance(source, os.PathLike) else source
        live, sub = self._live(location) if isinstance(location, str | int) else None, self._sub_input()
        self.name = one_line(masked(name or (live.name if live else _name(location))))
        is_live = live is not None or (isinstance(source, Source) and source.kind == "live")
        self.waits = options.policy == "wait" or (options.policy == "auto" and not is_live)
        damaged = options.deliver_damaged or self.waits
        self._reader: _Reader
        if live is not None:
            self._reader = LiveReader(live, 1, self.waits, options.reconnect, damaged, on_change)
        else:
            self._reader = SourceReader(lambda: _open(location, options), self.name, self.waits, damaged, on_change)
        self._sub = None if sub is None else LiveReader(sub, _SUB_FRAMES, False, options.reconnect, False)
        self._converting, self._to_bgr, self._sub_to_bgr = threading.Lock(), BgrConverter(False), BgrConverter(False)
        self._readers = [reader for reader in (self._reader, self._sub) if reader is not None]
        for reader in self._readers:
            weakref.finalize(self, reader.request_stop)

    def take(self) -> Frame | None:
        """The newest frame that was not taken yet; None if there is none. It never blocks.

        Returns:
            Frame, converted to BGR by this call: frames that are dropped are not converted. None also for one that
            cannot be converted, which is counted as dropped.
        """
        mailbox = self._reader.mailbox
        item = mailbox.take()
        return self._converted(item, self._to_bgr, mailbox) if isinstance(item, LiveFrame) else item

    def detection_frame(self, frame: Frame) -> Frame | None:
        """The frame of the sub-stream that is nearest in time to one of the main stream.

        Args:
            frame: that `take` returned.

        Returns:
            Frame; None without `detect_source`, or if there is none within `MAX_APART_S`.
        """
        if self._sub is None:
            return None
        near = min(self._sub.mailbox.newest(), key=lambda sub: _apart_s(sub, frame), default=None)
        if near is None or _apart_s(near, frame) > MAX_APART_S:
            return None
        return self._converted(near, self._sub_to_bgr)

    @property
    def state(self) -> CameraState:
        """The state at this moment, see `live_state`; cheaper than `status`."""
        with self._reader.mailbox.changed:
            return self._state(time.monotonic())

    @property
    def dropped(self) -> int:
        """Frames that were dropped, of all causes; cheaper than `status`."""
        with self._reader.mailbox.changed:
            return self._reader.mailbox.facts.dropped.total()

    @property
    def error(self) -> InputError | None:
        """Why the camera is offline or has ended; None if nothing is wrong."""
        return self._reader.mailbox.facts.error

    def status(self) -> CameraStatus:
        """State and counts at this moment."""
        mailbox, now_s = self._reader.mailbox, time.monotonic()
        with mailbox.changed:
            facts = mailbox.facts
            return CameraStatus(
                name=self.name,
                state=self._state(now_s),
                error=one_line(facts.error or ""),
                received=facts.received,
                taken=facts.taken,
                dropped=dict(facts.dropped),
                damaged_packets=facts.damaged_packets,
                reconnects=facts.reconnects,
                newest_age_s=None if facts.arrived_s is None else max(0.0, now_s - facts.arrived_s),
                fps=facts.fps(now_s),
                size_wh=facts.size_wh,
            )

    def _state(self, now_s: float) -> CameraState:
        """The state; the mailbox is locked."""
        options, never_s = self._options, float("inf")
        limits_s = (never_s, never_s) if self.waits else (options.stall_s, options.frozen_s)
        return live_state(self._reader.mailbox.facts, now_s, *limits_s)

    def listen(self, on_change: Listener) -> None:
        """Call a function, as `on_change`, from now on, and at once for the frames that have come lately."""
        self._reader.mailbox.listen(on_change)

    def request_stop(self) -> None:
        """Stop reading without waiting for it."""
        for reader in self._readers:
            reader.stop()

    def close(self, timeout_s: float = STOP_S) -> None:
        """Stop reading, and wait for it; a reader that is blocked for longer ends at its own timeout.

        Args:
            timeout_s: maximum wait in seconds; what is left until a common deadline of several cameras.
        """
        end_s = time.monotonic() + timeout_s
        self.request_stop()
        for reader in self._readers:
            reader.join(max(0.0, end_s - time.monotonic()))

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _converted(self, frame: LiveFrame, to_bgr: BgrConverter, origin: Mailbox[Any] | None = None) -> Frame | None:
        """Convert a frame; None if that fails, which is noted in the mailbox that it was taken from."""
        try:
            with self._converting:
                return frame_from(frame, to_bgr)
        except (FFmpegError, ValueError) as error:
            name = frame.decoded.format.name
            failure = SourceBrokenError(f"{self.name}: cannot convert a frame of {name}: {error_reason(error)}")
            _log.debug("%s", failure)
            if origin is not None:
                origin.note_unreadable(failure)
            return None

    def _live(self, source: str | int) -> LiveInput | None:
        decoding, _ = choose_decoding(self._options.hwaccel, self._options.threads)
        return live_input(source, self._options.timeout_s, decoding, self._options.transport)

    def _sub_input(self) -> LiveInput | None:
        """The stream to detect faces in; None without one. It is checked before a thread is started."""
        source = self._options.detect_source
        if source is None:
            return None
        live = self._live(source)
        if live is None:
            raise UsageError(f"expected detect_source to be a URL or camera, got '{masked(source)}'")
        return live


def _apart_s(sub: LiveFrame, frame: Frame) -> float:
    """Time between two frames in seconds: by the camera's clock if both have it, else by their arrival."""
    if sub.clock_s is not None and frame.clock_s is not None:
        return abs(sub.clock_s - frame.clock_s)
    return abs(sub.arrival_s - frame.arrival_s) if frame.arrival_s is not None else float("inf")


def _name(source: object) -> str:
    if isinstance(source, Source):
        return source.name
    return str(source) if isinstance(source, str) else type(source).__name__


def _open(source: str | int | Frames, options: CameraOptions) -> Frames:
    if not isinstance(source, str | int):
        return source
    return open_source(source, timeout_s=options.timeout_s, hwaccel=options.hwaccel, threads=options.threads)
