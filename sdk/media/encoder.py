"""BGR composites into the packets of one video stream."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from .palette import Palette
from .source import Source
from .video import VideoSource
from .video_formats import VideoFormat

_USUAL_RATE = Fraction(25)
_LIVE_TICK = Fraction(1, 90_000)
_BT709, _LIMITED, _UNSPECIFIED = 1, 1, 2
# swscale's flags: bilinear, accurate rounding, all input chroma; the default darkens by one to two levels.
_EXACT = 0x2 | 0x40000 | 0x4000


class VideoEncoder:
    """Owns an output file and its video stream.

    Args:
        path: the file to write.
        format: container, codec and settings.
        source: where rate, time base, colours and the shape of a pixel come from.
        shape: (H, W, 3) of the composites.

    Attributes:
        container: FFmpeg's output, to which sound may be added before the first frame.
        shape: as given.
        notes: one line for what differs from the source.
    """

    def __init__(self, path: Path, format: VideoFormat, source: Source, shape: tuple[int, ...]) -> None:  # noqa: A002
        self.shape = shape
        self.notes: list[str] = []
        self._format = format
        height, width = shape[:2]
        self._pad = (height % 2, width % 2) if format.even else (0, 0)
        height, width = height + self._pad[0], width + self._pad[1]
        if any(self._pad):
            self.notes.append(
                f"{shape[1]}x{shape[0]} is odd; widened to {width}x{height}, because video has even sides"
            )
        rate = (source.rate or _USUAL_RATE).limit_denominator(1 << 16)
        video = source if isinstance(source, VideoSource) else None
        tick = format.tick or (video.time_base if video else _LIVE_TICK)
        self._tick = 1 / rate if format.container == "avi" else tick
        # An absolute path, because FFmpeg takes "a:b.mp4" for a protocol named "a".
        self.container = av.open(str(path.absolute()), "w", format=format.container, options=format.container_options)
        stream = self.container.add_stream(format.codec, rate=rate, options=dict(format.codec_options))
        self._stream = cast(VideoStream, stream)
        context = self._stream.codec_context
        context.width, context.height, context.pix_fmt = width, height, format.pixel_format
        context.time_base = self._tick
        if format.pixel_format != "pal8":
            context.colorspace, context.color_range = _BT709, _LIMITED
            context.color_primaries = _told(video.primaries) if video else _BT709
            context.color_trc = _told(video.transfer) if video else _BT709
        if video and video.pixel_aspect != 1:
            context.sample_aspect_ratio = video.pixel_aspect
        self._palette = Palette(width, height, self._tick) if format.pixel_format == "pal8" else None
        self._reformatter = VideoReformatter()
        self._last_pts: int | None = None

    def write(self, time_s: Fraction, pixels: NDArray[np.uint8]) -> Fraction:
        """Encode one composite.

        Args:
            time_s: its presentation time.
            pixels: (H, W, 3) uint8 BGR.

        Returns:
            The time it got: the nearest that the file can tell, and later than the one before.
        """
        pts = round(time_s / self._tick)
        if self._last_pts is not None:
            pts = max(pts, self._last_pts + 1)
        self._last_pts = pts
        if any(self._pad):
            pixels = np.pad(pixels, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "bgr24")
        frame.pts, frame.time_base = pts, self._tick
        if self._palette:
            coded = self._palette(frame)
        else:
            coded = self._reformatter.reformat(
                frame,
                format=self._format.pixel_format,
                dst_colorspace=_BT709,
                dst_color_range=_LIMITED,
                interpolation=_EXACT,
            )
        coded.pts, coded.time_base = pts, self._tick
        self.container.mux(self._stream.encode(coded))
        return pts * self._tick

    def finish(self) -> None:
        """Write the frames that the encoder still holds."""
        self.container.mux(self._stream.encode(None))


def _told(number: int) -> int:
    return number if number not in (0, _UNSPECIFIED) else _BT709
