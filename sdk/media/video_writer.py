"""Composites into a video file, with the source's timestamps and sound."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat as PixelFormat
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ...engines.errors import OutputError, UsageError
from ..pipeline.frame import Frame
from .audio import SoundCopy
from .base import Sink, Source
from .images import why, why_not_written
from .video_reader import VideoSource


class VideoSink(Sink):
    """Encodes to a temporary file beside, `NAME.partial.SUFFIX`, which is renamed when closed.

    The first composite fixes the size. 4:2:0 video has even sides: an odd one is lengthened by one row or column that
    repeats the last, and a note says so. Timestamps equal the source's, to 1 ms in Matroska and WebM and 10 ms in GIF,
    whose units these are. AVI has no timestamps: frames go to the nearest place on the grid of the average rate, and
    readers may count from one frame later.

    Args:
        path: the file to be.
        source: where rate, timestamps, colours and sound come from.
        format: how to write it.
    """

    def __init__(self, path: Path, source: Source, format: VideoFormat) -> None:  # noqa: A002
        super().__init__(path)
        self.partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        self._source, self._format = source, format
        self._encoder: VideoEncoder | None = None
        self._sound: SoundCopy | None = None
        self._first_s: Fraction | None = None

    def _write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        try:
            encoder = self._encoder or self._open(pixels)
            if pixels.shape != encoder.shape:
                raise UsageError(f"a video keeps its size: expected pixels {encoder.shape}, got {pixels.shape}")
            time_s = encoder.write(self._time_s(frame), pixels)
            if self._sound:
                self._sound.copy_until(time_s)
        except (av.FFmpegError, OSError) as error:
            raise OutputError(why_not_written(self.path, error)) from error

    def _time_s(self, frame: Frame) -> Fraction:
        if self._source.kind == "live":  # a camera may count from its own beginning; the file starts at 0
            time_s = Fraction(frame.time_s)
            self._first_s = time_s if self._first_s is None else self._first_s
            return max(Fraction(0), time_s - self._first_s)
        if frame.pts is not None and frame.time_base is not None:
            return frame.pts * frame.time_base
        return Fraction(frame.time_s)

    def _open(self, pixels: NDArray[np.uint8]) -> VideoEncoder:
        sound_from = self._source.location if isinstance(self._source, VideoSource) else None
        try:
            self._start(pixels, sound_from)
        except (av.FFmpegError, OSError, ValueError) as error:
            self._discard()
            if not self._sound:
                raise OutputError(why_not_written(self.path, error)) from error
            # A container may refuse a sound that it claims to take, and tells only when its header is written.
            self.notes.append(f"sound left out: {self.path.suffix} refuses it ({why(error)})")
            self._sound = None
            try:
                self._start(pixels, None)
            except (av.FFmpegError, OSError, ValueError) as again:
                self._discard()
                raise OutputError(why_not_written(self.path, again)) from again
        assert self._encoder is not None
        return self._encoder

    def _start(self, pixels: NDArray[np.uint8], sound_from: str | None) -> None:
        self._encoder = VideoEncoder(self.partial, self._format, self._source, pixels.shape)
        if sound_from:
            sound = SoundCopy(sound_from, self._encoder.container, self.path.suffix, self.notes)
            self._sound = sound if sound.any else None
        self._encoder.container.start_encoding()
        self.notes += self._encoder.notes

    def _discard(self) -> None:
        if self._encoder:
            with suppress(av.FFmpegError, OSError, ValueError):
                self._encoder.container.close()
        self._encoder = None
        with suppress(OSError):
            self.partial.unlink(missing_ok=True)

    def close(self, complete: bool = True) -> None:
        """Finish the file and give it its name; where no frame was written, none is left.

        Args:
            complete: copy the sound to its end, if the source was read to its end; False: only up to the last frame.

        Raises:
            OutputError: the rest cannot be written; what is playable is kept.
        """
        encoder, self._encoder = self._encoder, None
        if encoder is None:
            return
        try:
            encoder.finish()
            if self._sound and complete and self._source.exhausted:
                self._sound.copy_until(None)
            encoder.container.close()
            self.partial.replace(self.path)
        except (av.FFmpegError, OSError) as error:
            with suppress(av.FFmpegError, OSError):
                encoder.container.close()
            kept = self._keep_if_playable()
            if complete:
                raise OutputError(why_not_written(self.path, error) + kept) from error
        finally:
            if self._sound:
                self._sound.close()

    def _keep_if_playable(self) -> str:
        try:
            with av.open(str(self.partial.absolute())) as container:
                playable = next(container.decode(video=0), None) is not None
            if playable:
                self.partial.replace(self.path)
                return "; what was written so far is kept there"
        except (av.FFmpegError, OSError, IndexError):
            pass
        with suppress(OSError):
            self.partial.unlink(missing_ok=True)
        return ""


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


@dataclass(frozen=True)
class VideoFormat:
    """One way to write a video.

    Args:
        container: FFmpeg's name of the file format.
        codec: FFmpeg's name of the encoder.
        container_options, codec_options: passed to FFmpeg.
        pixel_format: what the encoder takes.
        tick: the only timestamps that the format has, in seconds; None where the source's own are kept.
        largest: longest side in pixels.
        even: whether both sides must be even.
    """

    container: str
    codec: str
    container_options: dict[str, str] = field(default_factory=dict)
    codec_options: dict[str, str] = field(default_factory=dict)
    pixel_format: str = "yuv420p"
    tick: Fraction | None = None
    largest: int = 16_384
    even: bool = True


# Timestamps below zero (the priming of AAC) stay as they are: shifting every stream would move the picture too.
_KEEP = {"avoid_negative_ts": "disabled", "flush_packets": "1"}
# Fragments of a second while writing, so that even a killed run leaves a playable file; an ordinary index at the end.
# Before FFmpeg 8.1 that last step loses frames where the index waits for the first ones (delay_moov, which alone tells
# their times exactly), so there the file stays in fragments.
_INDEXED = av.library_versions["libavformat"] >= (62, 12, 0)
_FRAGMENTS = "+delay_moov+hybrid_fragmented" if _INDEXED else "+delay_moov+frag_keyframe"
_MP4 = _KEEP | {"movflags": _FRAGMENTS, "frag_duration": "1000000"}
_MATROSKA = _KEEP | {"cluster_time_limit": "1000"}
# Without B frames packets leave in the order of their frames, and every container keeps every timestamp.
_X264 = {"preset": "veryfast", "crf": "18", "bf": "0"}
_VP9 = {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"}

VIDEO_FORMATS = {
    ".mp4": VideoFormat("mp4", "libx264", _MP4, _X264),
    ".m4v": VideoFormat("mp4", "libx264", _MP4, _X264),
    ".mov": VideoFormat("mov", "libx264", _MP4, _X264),
    ".mkv": VideoFormat("matroska", "libx264", _MATROSKA, _X264),
    ".avi": VideoFormat("avi", "libx264", _KEEP, _X264),
    ".webm": VideoFormat("webm", "libvpx-vp9", _MATROSKA, _VP9, even=False),
    ".gif": VideoFormat(
        "gif", "gif", {"flush_packets": "1"}, pixel_format="pal8", tick=Fraction(1, 100), largest=65_535, even=False
    ),
}


class Palette:
    """FFmpeg's palettegen and paletteuse, set up once; one frame in, one frame out, none held back.

    Args:
        width, height: of the frames, in pixels.
        time_base: seconds a unit of their timestamps.
    """

    def __init__(self, width: int, height: int, time_base: Fraction) -> None:
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=width, height=height, format=PixelFormat("bgr24"), time_base=time_base, name="in"
        )
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
        """Turn a bgr24 frame into pal8."""
        self._graph.vpush(frame)
        return self._graph.vpull()
