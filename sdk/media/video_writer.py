"""Video encoding with the timestamps and audio of the source."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ...engines.errors import OutputError, UsageError
from ..pipeline.frame import Frame
from .audio import AudioCopy
from .color_conversion import BT709, LIMITED, UNSPECIFIED, YuvConverter, bgr_frame
from .containers import ContainerFormat
from .encode_options import EncodeOptions
from .encoders import Encoder, choose_encoder, encoder_options, hardware, silence_encoders
from .images import error_reason, write_error
from .source_sink import Sink, Source
from .video_reader import VideoSource


class VideoSink(Sink):
    """Encodes to the temporary file `NAME.partial.SUFFIX`, which is renamed to `path` when the sink is closed.

    The first composite sets the size. 4:2:0 video requires even sides: an odd side is padded by repeating the last row
    or column, with a note. Timestamps equal those of the source, rounded to 1 ms in Matroska and WebM and 10 ms in GIF.
    AVI has no timestamps: frames are placed on the grid of the average frame rate, and some readers start the grid one
    frame later.

    Args:
        path: output file.
        source: source of frame rate, timestamps, color metadata and audio.
        format: container format.
        options: codec, crf, preset, hwaccel and threads.
        scale: size of the composites relative to the frames; hardware encoders are tried at this size.

    Raises:
        UsageError: no such encoder here, or it does not have these options.
    """

    def __init__(
        self,
        path: Path,
        source: Source,
        format: ContainerFormat,  # noqa: A002
        options: EncodeOptions,
        scale: int,
    ) -> None:
        super().__init__(path)
        width, height = source.size_wh or (1280, 720)
        self._options = options
        self._codec, notes = choose_encoder(options, format, path.suffix, (width * scale, height * scale))
        self.notes += notes
        self.partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        self._source, self._format = source, format
        self._encoder: VideoEncoder | None = None
        self._audio: AudioCopy | None = None
        self._first_s: Fraction | None = None

    def _write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        try:
            encoder = self._encoder or self._open(pixels)
            if pixels.shape != encoder.shape:
                raise UsageError(f"expected pixels of {encoder.shape} as in the first frame, got {pixels.shape}")
            time_s = encoder.write(self._time_s(frame), pixels)
            if self._audio:
                self._audio.copy_until(time_s)
        except (av.FFmpegError, OSError) as error:
            raise OutputError(write_error(self.path, error)) from error

    def _time_s(self, frame: Frame) -> Fraction:
        if self._source.kind == "live":  # the first timestamp of a camera is arbitrary; the file starts at 0
            time_s = Fraction(frame.time_s)
            self._first_s = time_s if self._first_s is None else self._first_s
            return max(Fraction(0), time_s - self._first_s)
        if frame.pts is not None and frame.time_base is not None:
            return frame.pts * frame.time_base
        return Fraction(frame.time_s)

    def _open(self, pixels: NDArray[np.uint8]) -> VideoEncoder:
        audio_location = self._source.location if isinstance(self._source, VideoSource) else None
        try:
            return self._start(pixels, audio_location)
        except (av.FFmpegError, OSError, ValueError) as error:
            self._discard()
            if not self._audio:
                raise OutputError(write_error(self.path, error)) from error
            # A container may reject an audio codec that it lists as supported, but only when its header is written.
            self.notes.append(f"audio dropped: {self.path.suffix} rejects it ({error_reason(error)})")
            self._audio = None
            try:
                return self._start(pixels, None)
            except (av.FFmpegError, OSError, ValueError) as second_error:
                self._discard()
                raise OutputError(write_error(self.path, second_error)) from second_error

    def _start(self, pixels: NDArray[np.uint8], audio_location: str | None) -> VideoEncoder:
        self._encoder = encoder = VideoEncoder(
            self.partial, self._format, self._codec, self._options, self._source, pixels.shape
        )
        if audio_location:
            audio = AudioCopy(audio_location, encoder.container, self.path.suffix, self.notes)
            self._audio = audio if audio.has_streams else None
        encoder.container.start_encoding()
        self.notes += encoder.notes
        return encoder

    def _discard(self) -> None:
        if self._encoder:
            with suppress(av.FFmpegError, OSError, ValueError):
                self._encoder.container.close()
        self._encoder = None
        with suppress(OSError):
            self.partial.unlink(missing_ok=True)

    def close(self, complete: bool = True) -> None:
        """Finish the file and rename it to `path`; without any frame, no file is created.

        Args:
            complete: copy the audio to its end if the source was read to its end; False: only up to the last frame.

        Raises:
            OutputError: the file cannot be finished; the playable part is kept.
        """
        encoder, self._encoder = self._encoder, None
        if encoder is None:
            return
        try:
            encoder.finish()
            if self._audio and complete and self._source.exhausted:
                self._audio.copy_until(None)
            encoder.container.close()
            self.partial.replace(self.path)
        except (av.FFmpegError, OSError) as error:
            with suppress(av.FFmpegError, OSError):
                encoder.container.close()
            kept = self._keep_if_playable()
            if complete:
                suffix = "; the frames written so far are kept" if kept else ""
                raise OutputError(write_error(self.path, error) + suffix) from error
        finally:
            if self._audio:
                self._audio.close()

    def _keep_if_playable(self) -> bool:
        try:
            with av.open(str(self.partial.absolute())) as container:
                playable = next(container.decode(video=0), None) is not None
            if playable:
                self.partial.replace(self.path)
                return True
        except (av.FFmpegError, OSError, IndexError):
            pass
        with suppress(OSError):
            self.partial.unlink(missing_ok=True)
        return False


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
