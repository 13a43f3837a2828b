"""Encoder of one video stream in an output container."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ..encode_options import EncodeOptions
from ..source_sink import Source
from .color_conversion import BT709, LIMITED, UNSPECIFIED, YuvConverter, bgr_frame
from .containers import ContainerFormat
from .encoders import Encoder, encoder_options, hardware, silence_encoders
from .reader import VideoSource

_DEFAULT_RATE = Fraction(25)
_LIVE_TIME_BASE = Fraction(1, 90_000)


class VideoEncoder:
    """Encoder of one video stream in an output container.

    Args:
        path: output file.
        format: container format.
        codec: encoder.
        options: its crf, preset and threads.
        source: source of frame rate, time base, color metadata and pixel aspect ratio.
        shape: (H, W, 3) of the composites.

    Attributes:
        container: FFmpeg output container; audio streams may be added before the first frame.
        notes: one-line warnings where the output differs from the source.
    """

    def __init__(
        self,
        path: Path,
        format: ContainerFormat,  # noqa: A002
        codec: Encoder,
        options: EncodeOptions,
        source: Source,
        shape: tuple[int, ...],
    ) -> None:
        self.shape = shape
        self.notes: list[str] = []
        height, width = shape[:2]
        self._pad = (height % 2, width % 2) if format.even_sides else (0, 0)
        height, width = height + self._pad[0], width + self._pad[1]
        if any(self._pad):
            self.notes.append(f"{shape[1]}x{shape[0]} padded to {width}x{height}: video requires even sides")
        rate = (source.rate or _DEFAULT_RATE).limit_denominator(1 << 16)
        video = source if isinstance(source, VideoSource) else None
        time_base = format.time_base or (video.time_base if video else _LIVE_TIME_BASE)
        self._time_base = 1 / rate if format.container == "avi" else time_base
        # An absolute path because FFmpeg parses "a:b.mp4" as a URL with the protocol "a".
        self.container = av.open(str(path.absolute()), "w", format=format.container, options=format.options)
        settings = encoder_options(codec, options, (width, height), rate)
        self._stream = self._add_stream(codec, settings, rate)
        context = self._stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, codec.pixel_format
        context.time_base, context.thread_count = self._time_base, options.threads
        if codec.codec == "hevc" and format.container in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # Apple's players do not open FFmpeg's default, hev1
        if codec.pixel_format != "pal8":
            context.colorspace, context.color_range = BT709, LIMITED
            context.color_primaries = _bt709_if_unknown(video.primaries) if video else BT709
            context.color_trc = _bt709_if_unknown(video.transfer) if video else BT709
        if video and video.pixel_aspect != 1:
            context.sample_aspect_ratio = video.pixel_aspect
        self._palette = Palette(width, height, self._time_base) if codec.pixel_format == "pal8" else None
        self._to_yuv = YuvConverter(codec.pixel_format)
        self._last_pts: int | None = None

    def _add_stream(self, codec: Encoder, settings: dict[str, str], rate: Fraction) -> VideoStream:
        silence_encoders()
        if (device := hardware(codec)) is not None:
            return cast(VideoStream, self.container.add_stream(codec.name, rate, settings, hwaccel=device))
        return cast(VideoStream, self.container.add_stream(codec.name, rate, settings))

    def write(self, time_s: Fraction, pixels: NDArray[np.uint8]) -> Fraction:
        """Encode one composite.

        Args:
            time_s: presentation time in seconds.
            pixels: (H, W, 3) uint8 BGR.

        Returns:
            Presentation time in the file: rounded to its time base, and later than the previous frame.
        """
        pts = round(time_s / self._time_base)
        if self._last_pts is not None:
            pts = max(pts, self._last_pts + 1)
        self._last_pts = pts
        if any(self._pad):
            pixels = np.pad(pixels, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)), mode="edge")
        if self._palette:
            frame = bgr_frame(pixels)
            frame.pts, frame.time_base = pts, self._time_base
            encoded = self._palette(frame)
        else:
            encoded = self._to_yuv(pixels)
        encoded.pts, encoded.time_base = pts, self._time_base
        self.container.mux(self._stream.encode(encoded))
        return pts * self._time_base

    def finish(self) -> None:
        """Flush the encoder."""
        self.container.mux(self._stream.encode(None))


def _bt709_if_unknown(code: int) -> int:
    return code if code not in (0, UNSPECIFIED) else BT709


class Palette:
    """Conversion to a 256-color palette per frame with FFmpeg's filters palettegen and paletteuse."""

    def __init__(self, width: int, height: int, time_base: Fraction) -> None:
        self._graph = Graph()
        bgr = VideoFormat("bgr24")
        source = self._graph.add_buffer(width=width, height=height, format=bgr, time_base=time_base, name="in")
        split = self._graph.add("split")
        generate = self._graph.add("palettegen", "stats_mode=single")
        use = self._graph.add("paletteuse", "new=1")
        sink = self._graph.add("buffersink")
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(generate, 1, 0)
        generate.link_to(use, 0, 1)
        use.link_to(sink)
        self._graph.configure()

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Convert a bgr24 frame to pal8."""
        self._graph.vpush(frame)
        return self._graph.vpull()
