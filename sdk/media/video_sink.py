"""Composites into a video file, with the source's timestamps and sound."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from ...engines.errors import OutputError, UsageError
from ..frame import Frame
from .encoder import VideoEncoder
from .pictures import why, why_not_written
from .sink import Sink
from .sound import SoundCopy
from .source import Source
from .video import VideoSource
from .video_formats import VideoFormat


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
