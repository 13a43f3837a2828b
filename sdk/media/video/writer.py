"""Video encoding with the timestamps and audio of the source."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from ....engines.errors import OutputError, UsageError
from ...pipeline.frame import Frame
from ..encode_options import EncodeOptions
from ..reasons import error_reason, write_error
from ..source_sink import Sink, Source
from .containers import ContainerFormat
from .encoder import VideoEncoder
from .encoders import choose_encoder
from .reader import VideoSource
from .stream_copy import AudioCopy


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
        self.info += notes
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
