"""Video files as sources: frame-by-frame decoding with the timestamps of the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from ....engines.errors import InputError
from ...pipeline.frame import Frame
from ..reasons import error_reason
from ..source_sink import Source
from .color_conversion import BgrConverter, display_matrix
from .decoding import Decoding

_SOFTWARE = Decoding()


class VideoSource(Source):
    """Frames of a video file, local or behind a URL.

    Args:
        location: path or URL for FFmpeg.
        path: the file; None for a URL.
        name: name for messages.
        timeout_s: maximum wait for a URL in seconds.
        decoding: threads and hardware.

    Attributes:
        time_base: unit of `Frame.pts` in seconds.
        pixel_aspect: sample aspect ratio, width over height, after rotation.
        primaries, transfer: FFmpeg's codes of the color primaries and transfer characteristics.

    Raises:
        InputError: the video cannot be opened, or no frame can be decoded.
    """

    kind = "video"

    def __init__(
        self, location: str, path: Path | None, name: str, timeout_s: float, decoding: Decoding = _SOFTWARE
    ) -> None:
        super().__init__()
        self.location, self.path, self.name = location, path, name
        self._timeout_s, self._decoding = timeout_s, decoding
        with self._open() as container:
            stream = video_stream(container, name)
            self.frame_count = stream.frames or None
            self.rate = frame_rate(stream)
            self.time_base = stream.time_base or Fraction(1, 90_000)
            first = next(_decode(container, stream, _DecodeErrors()), None)
            if first is None:
                raise InputError(f"{name} has no decodable frames; copy or convert it again")
            context = stream.codec_context
            self.primaries, self.transfer = int(context.color_primaries), int(context.color_trc)
            self.pixel_aspect = stream.sample_aspect_ratio or Fraction(1)
            self.size_wh = (first.width, first.height)
            matrix = display_matrix(first)
            if matrix is not None and abs(int(matrix[0, 1])) > abs(int(matrix[0, 0])):
                self.size_wh, self.pixel_aspect = (first.height, first.width), 1 / self.pixel_aspect

    def __iter__(self) -> Iterator[Frame]:
        """Decode from the first frame.

        Raises:
            InputError: the file is truncated; raised after the last decodable frame.
        """
        self.exhausted = False
        to_bgr, errors, index = BgrConverter(), _DecodeErrors(), -1
        with self._open() as container:
            stream = video_stream(container, self.name)
            stream.thread_type, stream.codec_context.thread_count = "AUTO", self._decoding.threads
            for index, decoded in enumerate(_decode(container, stream, errors)):
                if self._closed:
                    return
                yield self._frame(to_bgr, decoded, index)
        self._check_complete(errors, frames=index + 1)
        self.exhausted = True

    def _open(self) -> InputContainer:
        return open_container(self.location, self.name, self._timeout_s, decoding=self._decoding)

    def _frame(self, to_bgr: BgrConverter, decoded: av.VideoFrame, index: int) -> Frame:
        pts, time_base = decoded.pts, decoded.time_base or self.time_base
        if pts is None:  # raw streams without a container have no timestamps
            pts = round(index / (self.rate or 25) / time_base)
        return Frame(to_bgr(decoded), index, float(pts * time_base), pts=pts, time_base=time_base)

    def _check_complete(self, errors: _DecodeErrors, frames: int) -> None:
        if errors.skipped_packets:
            self.notes.append(f"{self.name}: skipped {errors.skipped_packets} damaged packets")
        missing = missing_bytes(self.path) if self.path else 0
        if errors.read_error or missing:
            reason = errors.read_error or f"{missing} bytes are missing"
            raise InputError(f"{self.name} is truncated after {frames} frames ({reason}); copy the file again")


@dataclass
class _DecodeErrors:
    """Number of skipped packets, and the read error that ended the stream."""

    skipped_packets: int = 0
    read_error: str = ""


def _decode(container: InputContainer, stream: VideoStream, errors: _DecodeErrors) -> Iterator[av.VideoFrame]:
    """Decode a stream to its end; damaged packets are counted and skipped, as in media players."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError) as error:
            errors.read_error = error_reason(error)
            with suppress(av.FFmpegError):
                yield from stream.decode(None)
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            errors.skipped_packets += 1
            continue
        yield from frames


_ATTACHED_PICTURE = 0x400
_EXPECTED = "an image, a video, a camera or a URL"


def open_container(
    location: str, name: str, timeout_s: float, input_format: str | None = None, decoding: Decoding = _SOFTWARE
) -> InputContainer:
    """Open a file, device or URL with FFmpeg.

    Args:
        location: path, device or URL for FFmpeg.
        name: name for messages.
        timeout_s: maximum wait for opening, and for each read, in seconds.
        input_format: FFmpeg input format; None to detect it.
        decoding: threads and hardware.

    Raises:
        InputError: it cannot be opened or decoded by the hardware, or is a text file, which FFmpeg would render as an
            image.
    """
    options = {"rtsp_flags": "prefer_tcp"} if location.startswith("rtsp") else {}
    timeout = (timeout_s, timeout_s)
    try:
        container = av.open(
            location, "r", format=input_format, options=options, timeout=timeout, hwaccel=decoding.hardware()
        )
    except RuntimeError as error:  # no stream that the hardware decodes
        raise InputError(f"{name} cannot be decoded by {decoding.device}: {error_reason(error)}; use auto") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{name} cannot be opened: {error_reason(error)}; expected {_EXPECTED}") from error
    if container.format.name == "tty":
        container.close()
        raise InputError(f"{name} is a text file; expected {_EXPECTED}")
    return container


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """Select the video stream; cover images are ignored.

    Raises:
        InputError: there is none, or this build of FFmpeg cannot decode it.
    """
    streams = [s for s in container.streams.video if not _is_cover(s)]
    if not streams:
        raise InputError(f"{name} has no video stream; expected a video")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in streams else streams[0]
    if stream.codec_context is None:
        raise InputError(f"{name} has a codec that this build of FFmpeg cannot decode; convert it to H.264")
    return stream


def _is_cover(stream: VideoStream) -> bool:
    disposition = getattr(stream, "disposition", None)  # missing in PyAV 14.0
    return disposition is not None and bool(disposition.value & _ATTACHED_PICTURE)


def frame_rate(stream: VideoStream) -> Fraction | None:
    """Average frame rate in frames/s; None if unknown."""
    return stream.average_rate or stream.guessed_rate or None


_SEGMENT = b"\x18\x53\x80\x67"  # ID of Matroska's Segment element; its size follows


def missing_bytes(path: Path) -> int:
    """Difference between the length that the container declares and the file size.

    Args:
        path: MP4, MOV, Matroska, WebM, AVI or GIF file.

    Returns:
        Missing bytes; 0 if the file is complete, declares no length or is of another format.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return max(0, _mp4_length(file, size) - size)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return max(0, _matroska_length(head, size) - size)
        if head[:4] == b"RIFF":
            return max(0, 8 + int.from_bytes(head[4:8], "little") - size)
        if head[:3] == b"GIF":
            file.seek(-1, os.SEEK_END)
            return 0 if file.read(1) == b";" else 1
    return 0


def _mp4_length(file: BinaryIO, size: int) -> int:
    """End of the last top-level box of an MP4 file, in bytes."""
    offset = 0
    while offset + 8 <= size:
        file.seek(offset)
        box = file.read(16)
        length = int.from_bytes(box[:4], "big")
        if length == 1:
            length = int.from_bytes(box[8:16], "big")
        if length < 8:  # 0 means to the end of the file
            return size
        offset += length
    return max(offset, size)


def _matroska_length(head: bytes, size: int) -> int:
    """End of the Segment element of a Matroska file, in bytes."""
    offset = head.find(_SEGMENT) + len(_SEGMENT)
    if offset < len(_SEGMENT) or offset >= len(head) or head[offset] == 0:
        return size
    width = 9 - head[offset].bit_length()
    value = int.from_bytes(head[offset : offset + width], "big") & ((1 << 7 * width) - 1)
    if value == (1 << 7 * width) - 1:  # all ones: unknown length, as in live recordings
        return size
    return offset + width + value
