"""Parts of a video that are encoded apart, and the video that is joined from them without loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream

from .....engines.errors import InputError, OutputError, UsageError, first_line
from ....pipeline.chunks import CHUNK_FRAMES
from ....pipeline.frame import Frame
from ...encode_options import EncodeOptions
from ...source_sink import Source
from ..containers import CONTAINER_FORMATS
from ..earlier_video import EarlierVideo
from ..encoding.encoder import VideoEncoder
from ..encoding.frame_clock import FrameClock
from ..reader import VideoSource
from ..writer import VideoSink


def is_splittable(source: Source, output: Path) -> bool:
    """Whether the chunks of a video can be encoded apart: not to AVI and GIF, where a frame depends on all before."""
    container = CONTAINER_FORMATS.get(output.suffix.lower())
    is_file = isinstance(source, VideoSource) and source.path is not None and source.path.suffix.lower() != ".gif"
    return is_file and container is not None and container.container not in ("avi", "gif")


def check_chunk(frames: int) -> None:
    """Raise a UsageError unless a part may have so many frames: a multiple of `CHUNK_FRAMES`, or 0 for all."""
    if frames < 0 or frames % CHUNK_FRAMES:
        raise UsageError(
            f"expected a chunk of a multiple of {CHUNK_FRAMES} frames, or 0 for whole videos, got {frames}"
        )


@dataclass(frozen=True)
class Part:
    """An encoded part of a video.

    Args:
        path: file that holds the packets; None for a part without frames.
        stamps: timestamp of each frame in the time base of the encoder.
        shape: (H, W, 3) of the composites.
        end: time until which the last frame is shown, in seconds as a fraction; "" if unknown.
    """

    path: Path | None
    stamps: Sequence[int]
    shape: tuple[int, ...]
    end: str

    def packets(self) -> Iterator[tuple[int, Packet[VideoStream]]]:
        """Yield timestamp and packet of each frame.

        Raises:
            PartsError: the file is damaged, missing or too short.
        """
        try:
            yield from EarlierVideo(self.path, self.stamps).packets() if self.path else ()
        except (av.FFmpegError, OSError, IndexError, OutputError) as error:  # IndexError: no video stream
            raise PartsError(f"a part of the video cannot be read: {first_line(error)}") from error

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the path."""
        return {"stamps": list(self.stamps), "shape": list(self.shape), "end": self.end}

    @staticmethod
    def from_dict(document: dict[str, Any], path: Path | None) -> Part:
        """The inverse of `to_dict`."""
        return Part(path, tuple(document["stamps"]), tuple(document["shape"]), document["end"])


class PartSink(VideoSink):
    """Encodes a part of a video, without its other streams; the packets are those of a run over the whole video.

    Args:
        path: output file, with the suffix of the whole video.
        source: the video, with `first_index` at the start of a chunk.
        options: see `VideoSink`.
        scale: see `VideoSink`.
    """

    def __init__(self, path: Path, source: Source, options: EncodeOptions, scale: int) -> None:
        super().__init__(path, source, CONTAINER_FORMATS[path.suffix.lower()], options, scale, streams=False)
        self._stamps: list[int] = []
        self._shape: tuple[int, ...] = ()

    @property
    def part(self) -> Part:
        """What was written, once the sink is closed."""
        end = "" if self._end_s is None else str(self._end_s)
        return Part(self.path if self.frames_written else None, tuple(self._stamps), self._shape, end)

    def _copy_earlier(self, encoder: VideoEncoder) -> VideoEncoder:
        encoder.on_chunk = self._stamps.extend
        self._shape = encoder.shape
        return encoder

    def _finish(self, encoder: VideoEncoder, whole: bool) -> None:
        super()._finish(encoder, whole)
        self._stamps.extend(encoder.stamps)


class JoinSink(VideoSink):
    """Joins the parts of a video with the other streams of the source.

    Args:
        path: output file.
        source: the whole video.
        options: those of the parts.
        scale: that of the parts.
    """

    def __init__(self, path: Path, source: VideoSource, options: EncodeOptions, scale: int) -> None:
        super().__init__(path, source, CONTAINER_FORMATS[path.suffix.lower()], options, scale)
        self._whole = source

    def join(self, first: Frame, parts: Sequence[Part], upscaled: bool) -> Iterator[None]:
        """Copy all packets, while the source is read for its other streams; yields after each frame.

        Args:
            first: first frame of the source.
            parts: in order.
            upscaled: whether a frame has upscaled faces, which is marked.

        Raises:
            InputError: the source is truncated.
            OutputError: the parts do not fit to each other or to the source.
        """
        parts = [part for part in parts if part.stamps]
        if not parts:
            raise InputError(f"{self._whole.name} has no frames")
        self._upscaled = upscaled
        self._end_s = Fraction(parts[-1].end) if parts[-1].end else None
        encoder = self._open(first, np.zeros(parts[0].shape, np.uint8))
        packets = (pair for part in parts for pair in part.packets())
        expected = FrameClock(encoder.clock.time_base, self._format.container)
        for time_s in self._whole.read_through():
            stamp, packet = next(packets, (None, None))
            if stamp is None or packet is None or expected.place(time_s) != [stamp]:
                raise PartsError(f"the parts of {self._whole.name} lack frame {self.frames_written}, or it moved")
            shown_s = encoder.copy(stamp, packet)
            self.frames_written += 1
            if self._copy:
                self._copy.copy_until(encoder.container, shown_s)
            yield
        if next(packets, None) is not None:
            raise PartsError(f"the parts have more frames than {self._whole.name}, {self.frames_written}")


class PartsError(OutputError):
    """The parts do not fit to each other: the video has to be processed as a whole."""
