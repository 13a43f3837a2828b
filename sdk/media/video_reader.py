"""Video files as sources: one frame at a time, with the file's own timestamps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ...engines.errors import InputError
from ..pipeline.frame import Frame
from .base import Source
from .images import why


class VideoSource(Source):
    """The frames of a video that has an end: a file, or a file behind a URL.

    Args:
        location: a path or a URL, as FFmpeg takes it.
        path: the file, None for a URL.
        name: what to call it in a message.
        timeout_s: seconds to wait for a URL.

    Attributes:
        location: as given.
        time_base: seconds a unit of `Frame.pts`.
        pixel_aspect: width of a pixel over its height, once upright.
        primaries, transfer: FFmpeg's numbers for the colours' primaries and transfer curve.

    Raises:
        InputError: it cannot be opened, or not one frame can be decoded.
    """

    kind = "video"

    def __init__(self, location: str, path: Path | None, name: str, timeout_s: float) -> None:
        super().__init__()
        self.location, self.path, self.name = location, path, name
        self._timeout_s = timeout_s
        with open_container(location, name, timeout_s) as container:
            stream = video_stream(container, name)
            self.frame_count = stream.frames or None
            self.rate = frame_rate(stream)
            self.time_base = stream.time_base or Fraction(1, 90_000)
            first = next(_decoded(container, stream, _Damage()), None)
            if first is None:
                raise InputError(f"{name} holds no frame that can be decoded; copy or convert it again")
            context = stream.codec_context
            self.primaries, self.transfer = int(context.color_primaries), int(context.color_trc)
            self.pixel_aspect = stream.sample_aspect_ratio or Fraction(1)
            self.size_wh = (first.width, first.height)
            matrix = display_matrix(first)
            if matrix is not None and abs(int(matrix[0, 1])) > abs(int(matrix[0, 0])):
                self.size_wh, self.pixel_aspect = (first.height, first.width), 1 / self.pixel_aspect

    def __iter__(self) -> Iterator[Frame]:
        """Decode from the first frame on, with as many threads as the machine has cores.

        Raises:
            InputError: after all frames that can be decoded, if the data ends before the file's own end.
        """
        self.exhausted = False
        bgr, damage, index = BgrReader(), _Damage(), -1
        with open_container(self.location, self.name, self._timeout_s) as container:
            stream = video_stream(container, self.name)
            stream.thread_type = "AUTO"
            for index, decoded in enumerate(_decoded(container, stream, damage)):
                if self._closed:
                    return
                yield self._frame(bgr, decoded, index)
        self._check_end(damage, frames=index + 1)
        self.exhausted = True

    def _frame(self, bgr: BgrReader, decoded: av.VideoFrame, index: int) -> Frame:
        pts, time_base = decoded.pts, decoded.time_base or self.time_base
        if pts is None:  # a bare stream without a container has no timestamps
            pts = round(index / (self.rate or 25) / time_base)
        return Frame(bgr(decoded), index, float(pts * time_base), pts=pts, time_base=time_base)

    def _check_end(self, damage: _Damage, frames: int) -> None:
        if damage.skipped:
            self.notes.append(f"{self.name}: {damage.skipped} damaged packets were skipped")
        missing = missing_bytes(self.path) if self.path else 0
        if damage.end or missing:
            cause = damage.end or f"{missing} bytes are missing"
            raise InputError(f"{self.name} ends too early, after {frames} frames ({cause}); copy the file again")


class _Damage:
    """What could not be decoded on the way."""

    def __init__(self) -> None:
        self.skipped = 0
        self.end = ""


def _decoded(container: InputContainer, stream: VideoStream, damage: _Damage) -> Iterator[av.VideoFrame]:
    """Decode a stream to its end; a damaged packet is counted and skipped, as players do."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError) as error:
            damage.end = why(error)
            with suppress(av.FFmpegError):
                yield from stream.decode(None)
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            damage.skipped += 1
            continue
        yield from frames


# swscale's flags: bilinear, accurate rounding, chroma at full resolution. Its fast way, the default, darkens each
# channel by 1 to 1.5 levels and repeats chroma samples; this one has no bias, and takes about 20 ms more at 1080p.
_EXACT = 0x2 | 0x40000 | 0x2000
_BT709, _UNSPECIFIED, _BT601 = 1, 2, 5
_HD_LINES = 720
_ATTACHED_PICTURE = 0x400
_EXPECTED = "a picture, a video, a camera or a URL"


class BgrReader:
    """Turns decoded frames into BGR; owns the converter, so that it is set up once and not for every frame.

    Args:
        exact: round without bias and interpolate chroma; False is several times faster, for live pictures.
    """

    def __init__(self, exact: bool = True) -> None:
        self._flags = _EXACT if exact else None
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """Convert one frame of any pixel format, 8 to 16 bits, grey, palette or with alpha.

        Returns:
            (H, W, 3) uint8 BGR, upright: a display matrix (rotation, mirroring) is applied.
        """
        # What players assume of an untagged video too: BT.709 for HD, BT.601 (swscale's own default) below.
        if frame.colorspace == _UNSPECIFIED and frame.height >= _HD_LINES:
            frame.colorspace = _BT709
        # A destination that differs from the source, because PyAV before 17 takes BT.601 for everything otherwise.
        dst = _BT601 if frame.colorspace == _BT709 else None
        bgr = self._reformatter.reformat(frame, format="bgr24", dst_colorspace=dst, interpolation=self._flags)
        return upright(np.asarray(bgr.to_ndarray(), dtype=np.uint8), display_matrix(frame))


def display_matrix(frame: av.VideoFrame) -> NDArray[np.int32] | None:
    """Read how a frame wants to be shown.

    Returns:
        (3, 3) int32, FFmpeg's display matrix, or None where the frame is to be shown as it is.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else np.frombuffer(cast(bytes, data), np.int32).reshape(3, 3)


def upright(pixels: NDArray[np.uint8], matrix: NDArray[np.int32] | None) -> NDArray[np.uint8]:
    """Turn and mirror pixels by a display matrix, to the nearest quarter turn.

    Args:
        pixels: (H, W, 3) uint8.
        matrix: (3, 3) int32; a column (x, y) goes to (a·x + c·y, b·x + d·y).

    Returns:
        (H, W, 3) or (W, H, 3) uint8.
    """
    if matrix is None:
        return pixels
    (a, b), (c, d) = matrix[0, :2], matrix[1, :2]
    across, down = a, d
    if abs(int(b)) > abs(int(a)):
        pixels = pixels.transpose(1, 0, 2)
        across, down = c, b
    return np.ascontiguousarray(pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


def open_container(
    location: str,
    name: str,
    timeout_s: float,
    format: str | None = None,  # noqa: A002 (FFmpeg's own word)
) -> InputContainer:
    """Open a file, device or URL with FFmpeg.

    Args:
        location: what FFmpeg is to open.
        name: what to call it in an error.
        timeout_s: seconds to wait for it to open, and for each read afterwards.
        format: FFmpeg's name of the format, or None to find out.

    Raises:
        InputError: it cannot be opened, or is a text that FFmpeg would draw as a picture.
    """
    options = {"rtsp_flags": "prefer_tcp"} if location.startswith("rtsp") else {}
    try:
        container = av.open(location, format=format, options=options, timeout=(timeout_s, timeout_s), mode="r")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{name} cannot be opened: {why(error)}; expected {_EXPECTED}") from error
    if container.format.name == "tty":
        container.close()
        raise InputError(f"{name} is text; expected {_EXPECTED}")
    return container


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """Take the stream of moving pictures, which a cover picture is not.

    Raises:
        InputError: there is none, or this FFmpeg cannot decode it.
    """
    streams = [s for s in container.streams.video if not _is_cover(s)]
    if not streams:
        raise InputError(f"{name} has no moving picture; expected a video")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in streams else streams[0]
    if stream.codec_context is None:
        raise InputError(f"{name} is coded in a way that this FFmpeg cannot read; convert it to H.264")
    return stream


def _is_cover(stream: VideoStream) -> bool:
    disposition = getattr(stream, "disposition", None)  # PyAV 14.0 does not tell
    return disposition is not None and bool(disposition.value & _ATTACHED_PICTURE)


def frame_rate(stream: VideoStream) -> Fraction | None:
    """Frames a second on average, or None where nobody knows."""
    return stream.average_rate or stream.guessed_rate or None


_SEGMENT = b"\x18\x53\x80\x67"  # Matroska's outermost element; what follows is its size


def missing_bytes(path: Path) -> int:
    """Compare a file's length with the length that its container declares.

    Args:
        path: an MP4, MOV, Matroska, WebM, AVI or GIF file; of another nothing is known.

    Returns:
        Bytes that should be there and are not; 0 where the file is whole, or nothing is declared.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return max(0, _boxes_end(file, size) - size)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return max(0, _segment_end(head, size) - size)
        if head[:4] == b"RIFF":
            return max(0, 8 + int.from_bytes(head[4:8], "little") - size)
        if head[:3] == b"GIF":
            file.seek(-1, os.SEEK_END)
            return 0 if file.read(1) == b";" else 1
    return 0


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Walk the outermost boxes of an MP4 file; where the last one says it ends."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        box = file.read(16)
        length = int.from_bytes(box[:4], "big")
        if length == 1:
            length = int.from_bytes(box[8:16], "big")
        if length < 8:  # 0 stands for "to the end of the file"
            return size
        at += length
    return max(at, size)


def _segment_end(head: bytes, size: int) -> int:
    """Where the segment of a Matroska file says it ends."""
    at = head.find(_SEGMENT) + len(_SEGMENT)
    if at < len(_SEGMENT) or at >= len(head) or head[at] == 0:
        return size
    width = 9 - head[at].bit_length()
    value = int.from_bytes(head[at : at + width], "big") & ((1 << 7 * width) - 1)
    if value == (1 << 7 * width) - 1:  # all ones: written live, length unknown
        return size
    return at + width + value
