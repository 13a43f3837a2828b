"""Encoder of one video stream in an output container."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from ....pipeline.chunks import starts_chunk
from ...encode_options import EncodeOptions
from ...source_sink import Source
from ..color_conversion import LIMITED
from ..containers import ContainerFormat
from ..reader import VideoSource
from .encoders import Encoder, encoder_options, hardware, silence_encoders
from .frame_clock import FrameClock
from .gif import Palette, gif_loop
from .hdr_options import hdr_options
from .matroska_aspect import RESERVE, display_size
from .picture import Picture, padded
from .pixel_format import color_codes
from .yuv_conversion import YuvConverter

_DEFAULT_RATE = Fraction(25)
_LIVE_TIME_BASE = Fraction(1, 90_000)
_MAX_GRID_RATE = 240  # frames/s
_STREAM_BUFFER = 1 << 16  # bytes


class VideoEncoder:
    """Encoder of one video stream in an output container.

    A new codec context begins with every chunk of the stream (`CHUNK_FRAMES`), so that the packets of a chunk depend on
    its frames only, and a stopped run can go on after the last whole chunk. A GIF is one chunk: its pictures are
    differences to those before.

    Args:
        target: output file, or a stream that cannot be sought.
        format: container format.
        codec: encoder, with its pixel format.
        options: its crf, preset and threads.
        source: source of frame rate, time base, color metadata and pixel aspect ratio.
        shape: (H, W, 3) of the composites.

    Attributes:
        container: FFmpeg output container; further streams may be added before the first frame.
        notes: one-line warnings where the output differs from the source.
        clock: timestamps of the frames.
        display_size: width and height in square pixels, if the finished file must be completed by `set_display_size`.
        last_packet: data of the last frame, once the encoder is finished.
        on_chunk: called with the timestamps of the frames of each whole chunk, when the next one begins.
    """

    def __init__(
        self,
        target: Path | BinaryIO,
        format: ContainerFormat,  # noqa: A002
        codec: Encoder,
        options: EncodeOptions,
        source: Source,
        shape: tuple[int, ...],
    ) -> None:
        self.shape, self.last_packet = shape, b""
        self.notes: list[str] = []
        height, width = shape[:2]
        self._pad = (height % 2, width % 2) if format.even_sides else (0, 0)
        height, width = height + self._pad[0], width + self._pad[1]
        if any(self._pad):
            self.notes.append(f"{shape[1]}x{shape[0]} padded to {width}x{height}: video requires even sides")
        video = source if isinstance(source, VideoSource) else None
        rate = (source.rate or _DEFAULT_RATE).limit_denominator(1 << 16)
        if format.container == "avi" and video and rate < (video.base_rate or 0) <= _MAX_GRID_RATE:
            rate = Fraction(video.base_rate or rate)
        time_base = format.time_base or (video.time_base if video else _LIVE_TIME_BASE)
        self.clock = FrameClock(1 / rate if format.container == "avi" else time_base, format.container)
        self.container = _open_container(target, format, getattr(source, "loop", None))
        self._codec, self._options, self._container_name = codec, options, format.container
        self._size_wh, self._rate, self._color = (width, height), rate, color_codes(source)
        self._pixel_aspect = video.pixel_aspect if video else Fraction(1)
        settings = encoder_options(codec, options, (width, height), rate)
        self._settings = hdr_options(codec.name, self._color.hdr, settings)
        self._stream = self._add_stream()
        self._configure(self._stream.codec_context)
        self._stream.disposition = cast(Disposition, Disposition.default.value)  # PyAV 16 takes an integer only
        self.display_size: tuple[int, int] | None = None
        if self._pixel_aspect != 1 and format.container in ("matroska", "webm"):
            self.display_size = display_size((width, height), self._pixel_aspect)
            self._stream.metadata["title"] = RESERVE
        self._context: VideoCodecContext | None = None
        self._palette = Palette(width, height) if codec.pixel_format == "pal8" else None
        self._to_yuv = YuvConverter(codec.pixel_format, self._color.matrix)
        self._held: Packet[VideoStream] | None = None
        self._last: av.VideoFrame | None = None
        self._frames = 0
        self._stamps: list[int] = []
        self.on_chunk: Callable[[list[int]], None] = lambda stamps: None

    def _add_stream(self) -> VideoStream:
        silence_encoders()
        name, settings = self._codec.name, dict(self._settings)
        if (device := hardware(self._codec)) is not None:
            return cast(VideoStream, self.container.add_stream(name, self._rate, settings, hwaccel=device))
        return cast(VideoStream, self.container.add_stream(name, self._rate, settings))

    def _configure(self, context: VideoCodecContext) -> None:
        """Set everything but the codec's own options and the flags of the container."""
        context.width, context.height = self._size_wh
        context.pix_fmt, context.time_base = self._codec.pixel_format, self.clock.time_base
        context.thread_count = self._options.threads
        if self._codec.codec == "hevc" and self._container_name in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # Apple's players do not open FFmpeg's default, hev1
        if self._codec.pixel_format != "pal8":
            context.colorspace, context.color_range = self._color.matrix, LIMITED
            context.color_primaries, context.color_trc = self._color.primaries, self._color.transfer
        if self._pixel_aspect != 1:
            context.sample_aspect_ratio = self._pixel_aspect

    def _next_context(self) -> VideoCodecContext:
        """A context like that of the stream, for the next chunk.

        That of the stream is opened for the header only. If it encoded the first chunk, its frames would stay in memory
        beside those of the next context: 107 MB more with libx264 at 1920x1080.
        """
        first = self._stream.codec_context
        if self._palette:
            return first
        context = av.CodecContext.create(self._codec.name, "w", hwaccel=hardware(self._codec))
        assert isinstance(context, VideoCodecContext)
        self._configure(context)
        context.framerate, context.options, context.flags = self._rate, dict(self._settings), first.flags
        context.open()
        return context

    def write(self, time_s: Fraction, picture: Picture) -> Fraction:
        """Encode one composite.

        Args:
            time_s: presentation time in seconds.
            picture: composite of `shape`.

        Returns:
            Presentation time in the file: rounded to its time base, and later than the previous frame.
        """
        if self._context is None:
            self._context = self._next_context()
        elif starts_chunk(self._frames) and not self._palette:
            self._end_chunk()
            self.on_chunk(self._stamps)
            self._context, self._stamps = self._next_context(), []
        self._frames += 1
        if stamps := self.clock.place(time_s):
            picture = padded(picture, self._pad)
            frame = self._palette(picture) if self._palette else self._to_yuv(picture.pixels, picture.alpha)
            for pts in stamps[:-1]:
                self._encode(self._last or frame, pts)
            self._encode(frame, stamps[-1])
            self._last = frame
        return self.clock.last_s

    @property
    def stamps(self) -> list[int]:
        """Timestamps of the frames since `on_chunk` was called, in units of `clock.time_base`."""
        return self._stamps

    def copy(self, stamp: int, packet: Packet[VideoStream]) -> Fraction:
        """Take the packet of a frame that a stopped run has encoded; before the first `write`.

        Args:
            stamp: its timestamp in units of `clock.time_base`.
            packet: with start codes, if the codec is H.264 or HEVC.

        Returns:
            As of `write`.
        """
        packet.time_base, packet.duration = self.clock.time_base, 0
        packet.pts = packet.dts = stamp
        self._mux([packet])
        self._frames, self._stamps = self._frames + 1, []
        self.clock.go_on(stamp)
        return self.clock.last_s

    def finish(self, end_s: Fraction | None = None) -> None:
        """Flush the encoder.

        Args:
            end_s: time until which the last frame is shown, in seconds; None if unknown.
        """
        for pts in self.clock.fill(end_s) if end_s is not None else []:
            if self._last is not None:
                self._encode(self._last, pts)
        self._end_chunk()
        last, self._held = self._held, None
        if last is None:
            return
        if end_s is not None and last.pts is not None:
            last.duration = max(1, round(end_s / last.time_base) - last.pts)
        self.last_packet = bytes(last)
        self.container.mux_one(last)

    def _encode(self, frame: av.VideoFrame, pts: int) -> None:
        if self._context is not None:
            frame.pts, frame.time_base = pts, self.clock.time_base
            self._mux(self._context.encode(frame))

    def _end_chunk(self) -> None:
        context, self._context = self._context, None
        if context is not None:
            self._mux(context.encode(None))

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        """Write all packets but the last, whose duration is known when the stream ends."""
        for packet in packets:
            packet.stream = self._stream
            self._stamps.append(packet.pts or 0)
            if self._held is not None:
                self.container.mux_one(self._held)
            self._held = packet


def _open_container(target: Path | BinaryIO, format: ContainerFormat, loop: int | None) -> OutputContainer:  # noqa: A002
    options = format.options | ({"loop": gif_loop(loop)} if format.container == "gif" else {})
    if isinstance(target, Path):
        # An absolute path because FFmpeg parses "a:b.mp4" as a URL with the protocol "a".
        return av.open(str(target.absolute()), "w", format=format.container, options=options)
    return av.open(target, "w", format=format.container, options=options, buffer_size=_STREAM_BUFFER)
