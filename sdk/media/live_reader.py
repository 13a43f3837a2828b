"""The reader of a live stream: a thread that decodes and keeps the newest frames."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from weakref import WeakSet

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from ...engines.errors import InputError
from .fork import keep_in_child
from .reasons import error_reason
from .video.damage import DamageTracker
from .video.decoding import Decoding
from .video.input_container import frame_rate, open_container, video_stream

STOP_S = 0.5
"""Maximum wait for a thread that is to stop; one that is blocked in FFmpeg ends later, at FFmpeg's own timeout."""
END_S = 1.0
"""A stream that ends this much before its announced duration is complete: the last frames may be shown for long."""


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """A decoded frame.

    Args:
        index: position in the stream, dropped frames included.
        time_s: presentation time in seconds.
        decoded: as FFmpeg decodes it.
        damaged: see `Frame.damaged`.
    """

    index: int
    time_s: float
    decoded: av.VideoFrame
    damaged: bool


class LiveReader:
    """Reads and decodes a stream in a thread from its creation until its end, or until it is stopped.

    FFmpeg's waits for a network end by its own timeouts. It calls no Python code: a thread that is still blocked in it
    when the interpreter ends does no harm.

    Args:
        location, name, input_format, timeout_s, keep, decoding: see `LiveSource`.

    Attributes:
        changed: notified when another attribute changes, which are guarded by it.
        newest: frames for the consumer, oldest first.
        opened, ended: whether the stream was opened, and whether the thread reads no more.
        error: that ended the stream; None after a regular end.
        size_wh, rate: of the opened stream.
        dropped: frames that were not consumed in time.
        damaged_packets: see `Source`.
    """

    def __init__(
        self, location: str, name: str, input_format: str | None, timeout_s: float, keep: int, decoding: Decoding
    ) -> None:
        self._location, self._name, self._format = location, name, input_format
        self._timeout_s, self._decoding = timeout_s, decoding
        self.changed = threading.Condition()
        self.newest: deque[LiveFrame] = deque(maxlen=keep)
        self.opened = self.ended = False
        self.error: InputError | None = None
        self.size_wh: tuple[int, int] | None = None
        self.rate: Fraction | None = None
        self.dropped = 0
        self._damage = DamageTracker()
        self._container: InputContainer | None = None
        self._stopped, self._process = False, os.getpid()
        keep_in_child(self)
        # A daemon thread: a read that blocks inside the driver cannot be cancelled and must not delay process exit.
        self._thread = threading.Thread(target=self._run, name=f"reader of {name}", daemon=True)
        _readers.add(self)
        self._thread.start()

    @property
    def damaged_packets(self) -> int:
        """See `Source`."""
        return self._damage.packets

    def request_stop(self) -> None:
        """Let the thread end after its current read; takes no lock, so it may be called by the garbage collector."""
        self._stopped = True

    def join(self, timeout_s: float = STOP_S) -> None:
        """Wait for the thread to end, at most `timeout_s` seconds; in a forked child there is none."""
        if self._process == os.getpid() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def timeout_error(self, problem: str) -> InputError:
        """Error of a consumer that waited in vain."""
        return InputError(f"{problem} from {self._name} for {self._timeout_s:g} s; check that it is on and reachable")

    def _run(self) -> None:
        error = None
        try:
            error = self._read()
        except InputError as failure:
            error = failure
        except TimeoutError:
            error = self.timeout_error("no data")
        except Exception as failure:  # reported to the consumer's thread
            error = self._disconnected(error_reason(failure))
        with self.changed:
            self.ended, self.error = True, error
            self.changed.notify_all()

    def _disconnected(self, reason: str) -> InputError:
        return InputError(f"{self._name} disconnected: {reason}; check that it is on and reachable")

    def _read(self) -> InputError | None:
        """Decode to the end of the stream; returns an error if it is not a regular end."""
        self._container = container = open_container(
            self._location, self._name, self._timeout_s, self._format, self._decoding
        )
        try:
            last_s = self._decode(container)
            if self._stopped or self._is_complete(container, last_s):
                return None
            return self._disconnected("the stream ended")
        finally:
            self._container = None
            container.close()

    def _decode(self, container: InputContainer) -> float:
        """Decode and keep the frames; returns the time from the first to the last in seconds."""
        stream = video_stream(container, self._name)
        context, stream.thread_type = stream.codec_context, "SLICE"  # frame threads would delay each frame by one each
        # With several threads FFmpeg's H.264 decoder does not conceal damage, nor tell which frames have it.
        context.thread_count = self._decoding.threads or (1 if context.name == "h264" else 0)
        with self.changed:
            self.size_wh, self.rate = (stream.width, stream.height), frame_rate(stream)
            self.opened = True
            self.changed.notify_all()
        stream.codec_context.copy_opaque = True  # frames tell from which packet they were decoded
        start_s, index, first_s, time_s = time.monotonic(), 0, 0.0, 0.0
        for packet in container.demux(stream):
            if self._stopped:
                break
            for decoded, damaged in self._decoded(stream, packet):
                time_s = time.monotonic() - start_s if decoded.time is None else decoded.time
                first_s = time_s if index == 0 else first_s
                self._put(LiveFrame(index, time_s, decoded, damaged))
                index += 1
        return time_s - first_s

    def _decoded(self, stream: VideoStream, packet: Packet[VideoStream]) -> Iterator[tuple[av.VideoFrame, bool]]:
        if packet.size:
            self._damage.sent(packet, packet.is_corrupt)
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            self._damage.failed()
            return
        yield from self._damage.frames(frames)
        if not packet.size:  # the end of the stream
            yield from self._damage.rest()

    def _is_complete(self, container: InputContainer, read_s: float) -> bool:
        """Whether the end of the data is the end of the stream, and not of the connection."""
        if "://" not in self._location:  # a pipe, whose writer closed it
            return True
        # FFmpeg raises an error if fewer bytes come than the server announced. The size of a playlist is its own.
        if container.format.name.partition(",")[0] not in ("hls", "dash", "rtsp", "sdp") and container.size > 0:
            return True
        return bool(container.duration) and read_s > (container.duration or 0) / av.time_base - END_S

    def _put(self, frame: LiveFrame) -> None:
        with self.changed:
            self.dropped += len(self.newest) == self.newest.maxlen
            self.newest.append(frame)
            self.changed.notify_all()


_readers: WeakSet[LiveReader] = WeakSet()


def _stop_all() -> None:
    """Stop all readers before the interpreter ends."""
    running, end_s = list(_readers), time.monotonic() + STOP_S
    for reader in running:
        reader.request_stop()
    for reader in running:
        reader.join(max(0.0, end_s - time.monotonic()))


atexit.register(_stop_all)
