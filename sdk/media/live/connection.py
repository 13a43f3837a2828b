"""One connection to a camera or network stream: from its opening to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import av
from av.packet import Packet
from av.video.stream import VideoStream

from ....engines.errors import InputError
from ..connection_errors import disconnected
from ..url import Transport, live_options
from ..video.damage import DamageTracker
from ..video.decoding import SOFTWARE, Decoding
from ..video.h264_frame_numbers import H264FrameNumbers
from ..video.input_container import open_container, video_stream
from .clock import CameraClock

_HEAD = 8192  # bytes of a packet before its first slice, at most
END_S = 1.0
"""A stream that ends this much before its announced duration is complete: the last frames may be shown for long."""


@dataclass(frozen=True)
class LiveInput:
    """A camera or network stream.

    Args:
        location: device or URL for FFmpeg.
        name: name for messages, without credentials.
        input_format: FFmpeg input format of a device; None for a stream.
        timeout_s: maximum wait for the connection, and for each frame, in seconds.
        transport: of RTSP: tcp, udp; auto for TCP, and UDP where the server refuses it.
        decoding: threads and hardware.
    """

    location: str
    name: str
    input_format: str | None = None
    timeout_s: float = 5.0
    transport: Transport = "auto"
    decoding: Decoding = SOFTWARE


class Decoded(NamedTuple):
    """A decoded frame, whether it is damaged (see `Frame`), and the time of the camera's clock (see `Frame`)."""

    frame: av.VideoFrame
    damaged: bool
    clock_s: float | None


class LiveConnection:
    """An open stream; a context manager.

    FFmpeg's waits for a network end by its own timeouts. It calls no Python code: a thread that is still blocked in it
    when the interpreter ends does no harm.

    Args:
        source: to connect to.

    Attributes:
        size_wh, rate: as announced, None if they are not; see `Source`.
        damage: of packets and frames.

    Raises:
        InputError: it cannot be opened; the class tells why.
    """

    def __init__(self, source: LiveInput) -> None:
        self._source = source
        self._container = open_container(
            *(source.location, source.name, source.timeout_s, source.input_format, source.decoding),
            live_options(source.location, source.transport),
        )
        try:
            self._stream = video_stream(self._container, source.name)
        except BaseException:
            self._container.close()
            raise
        context, self._stream.thread_type = self._stream.codec_context, "SLICE"  # frame threads delay frames
        # With several threads FFmpeg's H.264 decoder does not conceal damage, nor tell which frames have it.
        context.thread_count = source.decoding.threads or (1 if context.name == "h264" else 0)
        context.copy_opaque = True  # frames tell from which packet they were decoded
        size_wh = self._stream.width, self._stream.height
        self.size_wh, self.rate = size_wh if all(size_wh) else None, self._stream.average_rate
        self.damage, self._clock = DamageTracker(), CameraClock()
        self._numbers = H264FrameNumbers(context.extradata or b"") if context.name == "h264" else None
        self._read_s: tuple[float, float] | None = None  # time of the first and of the last frame

    def frames(self, stopped: Callable[[], bool]) -> Iterator[Decoded]:
        """Decode to the end of the stream.

        Args:
            stopped: asked before each packet; whether to end.

        Raises:
            av.FFmpegError, OSError: the connection broke; TimeoutError if no data came within the timeout.
        """
        read_s = time.monotonic()
        for packet in self._container.demux(self._stream):
            late = "://" in self._source.location and time.monotonic() - read_s > self._source.timeout_s
            if stopped():
                return
            for frame, damaged in self._decoded(self._stream, packet):
                if frame.time is not None:
                    self._read_s = (self._read_s or (frame.time, 0.0))[0], frame.time
                yield Decoded(frame, damaged, self._clock.time_s(frame.time))
            if late and packet.size:  # FFmpeg's read has timed out; it emptied its parser, and would wait again
                raise TimeoutError
            read_s = time.monotonic()

    def end_error(self) -> InputError | None:
        """The error of a stream that ended; None if it is complete."""
        if self._is_complete():
            return None
        return disconnected(self._source.name, "the stream ended")

    def close(self) -> None:
        """Disconnect."""
        self._container.close()

    def __enter__(self) -> LiveConnection:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _decoded(self, stream: VideoStream, packet: Packet[VideoStream]) -> Iterator[tuple[av.VideoFrame, bool]]:
        if packet.size:
            self._clock.sent(packet)
            missing = self._numbers.missing(bytes(memoryview(packet)[:_HEAD])) if self._numbers else 0
            self.damage.sent(packet, packet.is_corrupt or missing > 0)
            self.damage.packets += missing
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            self.damage.failed()
            return
        yield from self.damage.frames(frames)
        if not packet.size:  # the end of the stream
            yield from self.damage.rest()

    def _is_complete(self) -> bool:
        """Whether the end of the data is the end of the stream, and not of the connection."""
        container = self._container
        if "://" not in self._source.location:  # a pipe, whose writer closed it
            return self._source.input_format is None
        # FFmpeg raises an error if fewer bytes come than the server announced. The size of a playlist is its own.
        if container.format.name.partition(",")[0] not in ("hls", "dash", "rtsp", "sdp") and container.size > 0:
            return True
        first_s, last_s = self._read_s or (0.0, 0.0)
        return bool(container.duration) and last_s - first_s > (container.duration or 0) / av.time_base - END_S
