"""From FFmpeg's frames to upright BGR pixels, and the streams they come from."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ...engines.errors import InputError
from .pictures import why

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
