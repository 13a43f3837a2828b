"""Video encoding with the timestamps and the other streams of the source."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from ....engines.errors import OutputError, UsageError
from ....engines.files import sync
from ...pipeline.frame import Frame
from ...provenance.video_mark import mark_file, mark_tags, source_term
from ..encode_options import EncodeOptions
from ..journal import Progress
from ..reasons import error_reason, plural, write_error
from ..source_sink import Sink, Source
from .animation_losses import animation_losses
from .containers import ContainerFormat
from .earlier_video import EarlierVideo, find_earlier, partial_paths
from .encoding.encoder import VideoEncoder
from .encoding.encoders import Encoder, choose_encoder
from .encoding.gif import set_last_delay
from .encoding.matroska_aspect import set_display_size
from .encoding.picture import is_transparent, picture
from .encoding.pixel_format import color_codes, default_codec, has_alpha, with_pixel_format
from .readable import readable_frames
from .reader import VideoSource
from .side_streams.stream_copy import StreamCopy


class VideoSink(Sink):
    """Encodes to the temporary file `NAME.partial.SUFFIX`, which is renamed to `path` when the sink is closed.

    The first composite sets the size. 4:2:0 video requires even sides: an odd side is padded by repeating the last row
    or column, with a note. Timestamps equal those of the source, rounded to 1 ms in Matroska and WebM and 10 ms in GIF.
    AVI has no timestamps: frames are placed on the grid of the average frame rate, and some readers start the grid one
    frame later. Sounds, subtitles, chapters, tags and attachments are copied; what the container does not hold is
    converted or dropped, with a note.

    Args:
        path: output file.
        source: source of frame rate, timestamps, color metadata and the other streams.
        format: container format.
        options: codec, crf, preset, hwaccel and threads.
        scale: size of the composites relative to the frames; hardware encoders are tried at this size.
        streams: copy the other streams of the source.

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
        streams: bool = True,
    ) -> None:
        super().__init__(path)
        width, height = source.size_wh or (1280, 720)
        self._source, self._format, self._size_wh = source, format, (width * scale, height * scale)
        self._options = options
        self._video = source if isinstance(source, VideoSource) else None
        self._bits = self._video.bit_depth if self._video else 8
        self._lost: list[str] = []
        self._codec = self._choose(self._bits, alpha=False)
        self.partial, _ = partial_paths(path)
        self.resumable = format.container not in ("gif", "avi")  # whose pictures or timestamps depend on those before
        self.identity = {**vars(options), "encoder": self._codec.name, "output": path.name}
        self._earlier: EarlierVideo | None = None
        self._encoder: VideoEncoder | None = None
        self._copy = StreamCopy(self._video, format, self._suffix, self.notes) if self._video and streams else None
        self._first_s: Fraction | None = None
        self._end_s: Fraction | None = None
        self._opaque_noted = False
        self._marks = not options.no_provenance and (scale > 1 or source.kind == "live")
        self._upscaled = False
        self._term = source_term(source.path, self._video.tags) if self._video and self._marks else ""
        if self._video and self._video.pixel_aspect != 1 and format.container == "gif":
            aspect = self._video.pixel_aspect
            self.notes.append(f"pixels of {aspect.numerator}:{aspect.denominator} shown square: .gif holds no other")

    @property
    def _suffix(self) -> str:
        return self.path.suffix

    def _choose(self, bits: int, alpha: bool) -> Encoder:
        """Choose the encoder; `_lost` gets notes on what it does not store."""
        options = default_codec(self._options, self._format, bits, alpha)
        encoder, info = choose_encoder(options, self._format, self._suffix, self._size_wh)
        self.info += [line for line in info if line not in self.info]
        color = color_codes(self._source)
        encoder, self._lost = with_pixel_format(encoder, self._format, self._suffix, bits, alpha, color)
        return encoder

    def _write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        try:
            encoder = self._encoder or self._copy_earlier(self._open(frame, pixels))
            if pixels.shape != encoder.shape and self._source.kind == "live":
                pixels = self._scaled(pixels, encoder.shape)
            if pixels.shape != encoder.shape:
                raise UsageError(f"expected pixels of {encoder.shape} as in the first frame, got {pixels.shape}")
            if not self._opaque_noted and is_transparent(frame) and not has_alpha(self._codec.pixel_format):
                self._opaque_noted = True
                self.notes.append(f"transparency composed over black: {self._codec.codec} in {self._suffix} has none")
            time_s = encoder.write(self._time_s(frame), picture(frame, pixels, self._codec))
            self._upscaled |= frame.upscaled
            if self._copy:
                self._copy.copy_until(encoder.container, time_s)
        except BrokenPipeError:
            self._abandon()
            raise
        except (av.FFmpegError, OSError) as error:
            raise self._stopped(error) from error

    def _scaled(self, pixels: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Scale a frame of a camera that changed its resolution to the size of the first one."""
        height, width = shape[:2]
        note = f"the camera changed its resolution: frames are scaled to {width}x{height}, that of the first one"
        if note not in self.notes:
            self.notes.append(note)
        shrinks = pixels.shape[0] >= height and pixels.shape[1] >= width
        scaled = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        return cast("NDArray[np.uint8]", scaled)

    def _time_s(self, frame: Frame) -> Fraction:
        if self._source.kind == "live":  # the first timestamp of a camera is arbitrary; the file starts at 0
            time_s = Fraction(frame.time_s)
            self._first_s = time_s if self._first_s is None else self._first_s
            return max(Fraction(0), time_s - self._first_s)
        if frame.pts is None or frame.time_base is None:
            return Fraction(frame.time_s)
        self._end_s = (frame.pts + frame.duration) * frame.time_base if frame.duration else None
        return frame.pts * frame.time_base

    def _open(self, frame: Frame, pixels: NDArray[np.uint8]) -> VideoEncoder:
        alpha, deep = is_transparent(frame), self._video is None and frame.deep is not None  # of an animation
        if alpha or deep:
            self._codec = self._choose(16 if deep else self._bits, alpha)
        losses = animation_losses(self._source, frame, self._suffix, self._codec.pixel_format)
        self.notes += [*self._lost, *losses]
        try:
            return self._start(pixels, streams=True)
        except BrokenPipeError:
            self._abandon()
            raise
        except MemoryError:
            self._discard()
            raise
        except (av.FFmpegError, OSError, ValueError) as error:
            self._discard()
            if not self._copy or not self._copy.streams:
                raise OutputError(write_error(self.path, error)) from error
            # A container may reject a combination of streams, but only when its header is written.
            names = ", ".join(self._copy.streams)
            self.notes.append(f"{names} dropped: {self._suffix} rejects them ({error_reason(error)})")
            try:
                return self._start(pixels, streams=False)
            except (av.FFmpegError, OSError, ValueError) as second_error:
                self._discard()
                raise OutputError(write_error(self.path, second_error)) from second_error

    def _start(self, pixels: NDArray[np.uint8], streams: bool) -> VideoEncoder:
        self._encoder = encoder = VideoEncoder(
            self._target(), self._format, self._codec, self._options, self._source, pixels.shape
        )
        self._prepare(encoder)
        if self._copy:
            self._copy.open(encoder.container, streams)
        if self._marks:
            tags = encoder.container.metadata
            tags.update(mark_tags(self._format.container, tags, self._term))
        encoder.container.start_encoding()
        self.notes += encoder.notes
        return encoder

    def go_on(self, earlier: Progress, frames: int) -> int:
        """See `Sink`; the packets are copied when the first frame comes."""
        self._earlier = find_earlier(self.path, earlier, frames)
        if self._earlier is None:
            self.discard_earlier()
            return 0
        self.partial = next(path for path in partial_paths(self.path) if path != self._earlier.path)
        return len(self._earlier.stamps)

    def discard_earlier(self) -> None:
        """See `Sink`."""
        for path in partial_paths(self.path):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _copy_earlier(self, encoder: VideoEncoder) -> VideoEncoder:
        """Copy what a stopped run has encoded, with the other streams up to there."""
        if self._earlier is not None:
            for stamp, packet in self._earlier.packets():
                time_s = encoder.copy(stamp, packet)
                if self._copy:
                    self._copy.copy_until(encoder.container, time_s)
            self.frames_written += len(self._earlier.stamps)
            self._earlier = None
            self._upscaled |= self.journal is not None and bool(self.journal.earlier.upscaled)
        if self.journal:
            encoder.on_chunk = self._add_chunk
        return encoder

    def _add_chunk(self, stamps: list[int]) -> None:
        if self.journal:
            size = self.partial.stat().st_size
            sync(self.partial)
            self.journal.add_chunk(stamps, size, self._upscaled)

    def _target(self) -> Path | BinaryIO:
        return self.partial

    def _prepare(self, encoder: VideoEncoder) -> None:
        """Called before the header is written."""

    def _discard(self) -> None:
        self._abandon()
        with suppress(OSError):
            self.partial.unlink(missing_ok=True)

    def _abandon(self) -> None:
        """Close the container without regard to errors."""
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            with suppress(av.FFmpegError, OSError, ValueError):
                encoder.container.close()

    def close(self, complete: bool = True) -> None:
        """Finish the file and rename it to `path`; without any frame, no file is created.

        Args:
            complete: copy the other streams to their end if the source was read to its end; False: only up to the last
                frame.

        Raises:
            OutputError: the file cannot be finished; the playable part is kept.
        """
        encoder, whole = self._encoder, complete and (self._source.exhausted or self._source.kind == "live")
        finished = False
        try:
            if encoder is not None:
                self._finish(encoder, whole)
            finished = whole
        except BrokenPipeError:
            self._abandon()
            if complete:
                raise
        except MemoryError:
            self._discard()
            if complete:
                raise
        except (av.FFmpegError, OSError) as error:
            stopped = self._stopped(error)
            if complete:
                raise stopped from error
        finally:
            if self._copy:
                self._copy.close()
            super().close(finished)

    def _finish(self, encoder: VideoEncoder, whole: bool) -> None:
        encoder.finish(self._end_s)
        if self._copy:
            if whole and self._source.exhausted:
                self._copy.copy_until(encoder.container, None)
            self._copy.flush(encoder.container)
        encoder.container.close()
        self._encoder = None
        self._publish(encoder, whole)
        if encoder.clock.dropped:
            why = {"avi": "a constant frame rate", "gif": "50 frames/s"}[self._format.container]
            self.notes.append(
                f"{plural(encoder.clock.dropped, 'frame')} left out: {self._suffix} holds {why}; use .mp4 or .mkv"
            )

    def _publish(self, encoder: VideoEncoder, whole: bool) -> None:
        """Complete the finished file and give it its name."""
        if self._format.container == "gif" and self._end_s is not None:
            set_last_delay(self.partial, encoder.last_packet, self._end_s - encoder.clock.last_s)
        if encoder.display_size is not None:
            set_display_size(self.partial, encoder.display_size)
        if self._copy:
            self._copy.check(self.partial)
        if self._marks:
            with self.partial.open("r+b") as file:
                mark_file(file, self._format.container, self._upscaled, self._term)
        sync(self.partial)
        if self.seal is not None:
            try:
                self.seal.sign_file(self.partial, self.path, complete=whole)
            except OutputError as error:
                raise OutputError(f"{error}; the unsigned video is {self.partial}") from error
        self._rename(whole)
        sync(self.path.parent)

    def _rename(self, whole: bool) -> None:
        """Give the file its name; it replaces that of a stopped run."""
        if self.journal and not whole:
            self.journal.keep(self.partial.stat().st_size)
        self.partial.replace(self.path)
        self.discard_earlier()

    def _stopped(self, error: Exception) -> OutputError:
        """Keep the part of the file that is readable after a failed write, and count its frames."""
        self._abandon()
        written = self.frames_written
        if self._earlier is not None:  # it is not copied yet, and has more frames than the new file
            self._discard()
            return OutputError(write_error(self.path, error))
        self.frames_written = readable_frames(self.partial)
        if self.frames_written == 0:
            with suppress(OSError):
                self.partial.unlink(missing_ok=True)
            return OutputError(write_error(self.path, error))
        if self.seal is not None:
            where = f"; {self.frames_written} of {written} frames are in {self.partial}, which is not signed"
            return OutputError(write_error(self.path, error) + where)
        with suppress(OSError, OutputError):
            self._rename(whole=False)
        kept = f"; {self.frames_written} of the {written} frames written so far are readable in it"
        return OutputError(write_error(self.path, error) + kept)
