"""Opening of files, devices and URLs with FFmpeg, and the choice of the video stream."""

from __future__ import annotations

import time
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import cast

import av
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from ....engines.errors import InputError
from ..connection_errors import opening_error
from ..reasons import error_reason
from ..url import timeout_options
from .decoding import SOFTWARE, Decoding
from .pipe import Pipe

_ATTACHED_PICTURE = 0x400
NO_OPTIONS: Mapping[str, str] = MappingProxyType({})
_EXPECTED = "an image, a video, a camera or a URL"


def open_container(
    location: str | Pipe,
    name: str,
    timeout_s: float,
    input_format: str | None = None,
    decoding: Decoding = SOFTWARE,
    options: Mapping[str, str] = NO_OPTIONS,
) -> InputContainer:
    """Open a file, device or URL with FFmpeg.

    Args:
        location: path, device or URL for FFmpeg; or an open pipe.
        name: name for messages.
        timeout_s: maximum wait for opening, and for each read, in seconds.
        input_format: FFmpeg input format; None to detect it.
        decoding: threads and hardware.
        options: further options of FFmpeg.

    Raises:
        InputError: it cannot be opened or decoded by the hardware, or is a text file, which FFmpeg would render as an
            image.
    """
    url = location if isinstance(location, str) else ""
    merged = {**timeout_options(url, timeout_s), **options}
    start_s = time.monotonic()
    try:
        container = av.open(location, "r", format=input_format, options=merged, hwaccel=decoding.hardware())
    except RuntimeError as error:  # no stream that the hardware decodes
        raise InputError(f"{name} cannot be decoded by {decoding.device}: {error_reason(error)}; use auto") from None
    except (av.FFmpegError, OSError, ValueError) as error:  # not chained: FFmpeg's error has the URL with its password
        if "://" in url or input_format is not None:
            in_time = time.monotonic() - start_s < timeout_s
            raise opening_error(name, error if in_time else TimeoutError("timed out")) from None
        raise InputError(f"{name} cannot be opened: {error_reason(error)}; expected {_EXPECTED}") from None
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


_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders ignore alpha


def has_side_alpha(stream: VideoStream) -> bool:
    """Whether a WebM or Matroska video has alpha as a second picture in each packet."""
    return stream.metadata.get("alpha_mode") == "1"


def alpha_decoder(stream: VideoStream) -> VideoCodecContext | None:
    """Decoder of VP8 and VP9 with alpha; None for other video, or if this build of FFmpeg has none."""
    name = _ALPHA_DECODERS.get(stream.codec_context.name)
    if name is None or not has_side_alpha(stream):
        return None
    try:
        return cast(VideoCodecContext, av.CodecContext.create(name, "r"))
    except ValueError:  # unknown codec
        return None


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition.value & _ATTACHED_PICTURE)


def frame_rate(stream: VideoStream) -> Fraction | None:
    """Average frame rate in frames/s; None if unknown."""
    return stream.average_rate or stream.guessed_rate or None
