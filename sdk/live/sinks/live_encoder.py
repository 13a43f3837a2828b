"""H.264 encoder of live streams: without delay, and with key frames at regular times."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ...media.encode_options import EncodeOptions
from ...media.video.containers import CONTAINER_FORMATS
from ...media.video.encoding.encoders import choose_encoder, encoder_options
from ...media.video.encoding.picture import Picture, padded
from ...media.video.encoding.yuv_conversion import YuvConverter
from ...provenance.video_mark import mark_tags

KEY_S = 2.0
"""Time between key frames: after it, a new viewer sees a picture."""
RATE = Fraction(25)
"""Nominal frames/s of the header; each frame has its own time."""
_TIME_BASE = Fraction(1, 90_000)
_OPTIONS = EncodeOptions(codec="h264", crf=23, preset="superfast")


@dataclass(frozen=True)
class StreamTarget:
    """Where a stream goes.

    Args:
        location: URL for FFmpeg, or a file object that is written without seeking.
        container: FFmpeg name of the format.
        options: of the format.
        timeout_s: maximum time to deliver a frame, in seconds.
        on_key: called with the time of a key frame, before it is delivered.
    """

    location: str | BinaryIO
    container: str
    options: Mapping[str, str]
    timeout_s: float = float("inf")
    on_key: Callable[[float], None] = lambda time_s: None


class LiveEncoder:
    """Encodes frames of one size; each is delivered before `write` returns.

    Args:
        target: where they go; connected at once.
        size_wh: width and height of the frames in pixels.

    Raises:
        av.FFmpegError, OSError: the target cannot be opened.
        UsageError: this build of FFmpeg has no H.264 encoder.
    """

    def __init__(self, target: StreamTarget, size_wh: tuple[int, int]) -> None:
        self._target = target
        width, height = size_wh
        self._pad = (height % 2, width % 2)
        encoder, _ = choose_encoder(_OPTIONS, CONTAINER_FORMATS[".mp4"], target.container, size_wh)
        settings = {**encoder_options(encoder, _OPTIONS, size_wh, RATE), "tune": "zerolatency"}
        self._to_yuv = YuvConverter(encoder.pixel_format)
        self._first_s: float | None = None
        self._last_pts, self._key_s = -1, float("-inf")
        self._container: OutputContainer = av.open(
            target.location, "w", format=target.container, options=dict(target.options)
        )
        self._stream: VideoStream = self._container.add_stream(encoder.name, RATE, settings)  # type: ignore[assignment]
        context = self._stream.codec_context
        context.width, context.height = width + self._pad[1], height + self._pad[0]
        context.pix_fmt, context.time_base = encoder.pixel_format, _TIME_BASE
        self._container.metadata.update(mark_tags(target.container, {}))
        try:
            self._container.start_encoding()
        except BaseException:
            self.abandon()
            raise

    def write(self, pixels: NDArray[np.uint8], time_s: float) -> None:
        """Encode and deliver a frame.

        Args:
            pixels: (H, W, 3) uint8 BGR.
            time_s: on any clock, in seconds; the stream begins with 0.

        Raises:
            av.FFmpegError, OSError: it cannot be delivered, or not in time.
        """
        self._first_s = time_s if self._first_s is None else self._first_s
        frame = self._to_yuv(padded(Picture(pixels), self._pad).pixels)
        frame.pts = self._last_pts = max(self._last_pts + 1, round((time_s - self._first_s) / _TIME_BASE))
        frame.time_base = _TIME_BASE
        if time_s - self._key_s >= KEY_S:
            frame.pict_type, self._key_s = PictureType.I, time_s
        for packet in self._stream.encode(frame):
            if packet.is_keyframe:
                self._target.on_key(time_s)
            start_s = time.monotonic()
            self._container.mux_one(packet)
            if time.monotonic() - start_s > self._target.timeout_s:
                raise TimeoutError("it takes no data")

    def close(self) -> None:
        """Finish the stream."""
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Release a stream that is broken."""
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()
