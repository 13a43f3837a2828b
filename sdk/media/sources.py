"""`open_source`: the source for a path, camera or URL."""

from __future__ import annotations

import stat
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import get_args
from urllib.parse import unquote, urlsplit

from ...engines.errors import InputError, SourceUnreachableError, UsageError
from .download import download_image
from .images.formats import IMAGE_SUFFIXES
from .images.header import image_header
from .images.sequence import DEFAULT_RATE, SequenceSource, is_sequence
from .images.source import AnimationSource, FolderSource, ImageSource, open_image
from .live.connection import LiveInput
from .live.reconnect import Reconnect
from .live.source import LiveSource
from .reasons import error_reason
from .source_sink import Kind, Source
from .url import Transport, masked
from .video.decoding import SOFTWARE, Decoding, choose_decoding
from .video.pipe import Pipe, is_redirected_file, is_terminal, open_pipe, open_stdin
from .video.reader import VideoSource
from .video.truncation import begins_with_index

__all__ = ["VIDEO_SUFFIXES", "AnimationSource", "FolderSource", "ImageSource", "Kind", "Source", "open_source"]

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".gif"})
STDIN = "-"
CAMERA_FORMAT = "v4l2"
_HTTP = ("http://", "https://")
_EXPECTED = "an image, a folder, a video, a camera index or a URL"


def open_source(
    source: str | Path | int,
    *,
    timeout_s: float = 5.0,
    hwaccel: str | None = None,
    threads: int = 0,
    deinterlace: bool = True,
    rate: float | Fraction = DEFAULT_RATE,
    transport: Transport = "auto",
    reconnect: Reconnect | None = None,
) -> Source:
    """Open an image, folder, video, camera or network stream as a source of frames.

    Args:
        source: image file, folder of images, video file, pattern of numbered images (frames/%05d.png), camera index,
            device or URL; "-" for standard input. A pipe and a URL of a video file (http://host/clip.mp4) are read to
            their end without dropping frames, an image behind HTTP is downloaded; every other URL is a live stream.
        timeout_s: maximum wait for the connection to a camera or URL, and for each frame, in seconds.
        hwaccel: decoding of videos on hardware: cuda or vaapi; auto for the first that works, else software.
        threads: threads of the video decoder; 0 for one per core.
        deinterlace: deinterlace interlaced videos.
        rate: frames/s of numbered images.
        transport: of RTSP: tcp, udp; auto for TCP, and UDP where the server refuses it.
        reconnect: connect to a live stream again when it breaks; see `Reconnect`. None to raise.

    Returns:
        The source, a context manager and iterable of frames.

    Raises:
        InputError: missing, empty, damaged, not readable or not a supported format; of a camera or URL, its class tells
            why it cannot be opened.
        UsageError: the timeout or rate is not positive, the hardware does not work, or an image has no use for it.
    """
    if timeout_s <= 0:
        raise UsageError(f"expected a timeout_s above 0 seconds, got {timeout_s:g}")
    if transport not in get_args(Transport):
        raise UsageError(f"expected a transport of {', '.join(get_args(Transport))}, got '{transport}'")
    decoding, notes = choose_decoding(hwaccel, threads)
    if is_sequence(source):
        opened: Source = SequenceSource(Path(str(source)), rate)
    else:
        opened = _open(source, timeout_s, replace(decoding, deinterlace=deinterlace), transport, reconnect)
    if hwaccel and (opened.kind in ("image", "folder") or isinstance(opened, AnimationSource | SequenceSource)):
        opened.close()
        raise UsageError(f"hwaccel {hwaccel} cannot be used for {opened.name}: images are decoded in software")
    opened.info += notes
    return opened


def _open(
    source: str | Path | int, timeout_s: float, decoding: Decoding, transport: Transport, reconnect: Reconnect | None
) -> Source:
    text = str(source)
    live = live_input(source, timeout_s, decoding, transport)
    if live is None and isinstance(source, str) and "://" in source:
        return _file_behind_url(source, timeout_s, decoding)
    if live is None:
        return _stdin(timeout_s, decoding) if text == STDIN else _file(Path(text), timeout_s, decoding)
    if live.input_format == CAMERA_FORMAT:
        _check_camera(live.location)
    elif live.location.startswith(_HTTP) and (data := download_image(live.location, timeout_s)) is not None:
        image = open_image(Path(Path(unquote(urlsplit(live.location).path)).name or "image"), data)
        image.path, image.name = None, live.name
        return image
    return LiveSource(
        *(live.location, live.name, live.input_format, timeout_s),
        decoding=decoding,
        transport=transport,
        reconnect=reconnect,
    )


def live_input(
    source: str | Path | int, timeout_s: float, decoding: Decoding = SOFTWARE, transport: Transport = "auto"
) -> LiveInput | None:
    """The camera or network stream that a location means, without opening it; None if it means a file or a pipe.

    Args:
        source, timeout_s, transport: see `open_source`.
        decoding: threads and hardware.
    """
    text = str(source)
    if isinstance(source, int) or (text.isdecimal() and not Path(text).exists()):
        text = f"/dev/video{int(text)}"
    if text.startswith("/dev/video"):
        return LiveInput(text, text, CAMERA_FORMAT, timeout_s, transport, decoding)
    if not isinstance(source, str) or "://" not in source:
        return None
    parts = urlsplit(source)
    if parts.scheme == "file" or (source.startswith(_HTTP) and Path(parts.path).suffix.lower() in VIDEO_SUFFIXES):
        return None
    return LiveInput(source, masked(source), None, timeout_s, transport, decoding)


def _check_camera(device: str) -> None:
    if not sys.platform.startswith("linux"):
        raise InputError(f"{device}: cameras are read through V4L2, which requires Linux; give a URL")
    if not Path(device).exists():
        devices = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*"))) or "none"
        raise SourceUnreachableError(f"camera {device} does not exist; available cameras: {devices}")


def _file_behind_url(url: str, timeout_s: float, decoding: Decoding) -> Source:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _file(Path(unquote(parts.path)), timeout_s, decoding)
    return VideoSource(url, None, masked(url), timeout_s, decoding)


def _stdin(timeout_s: float, decoding: Decoding) -> Source:
    if sys.platform != "win32" and is_redirected_file():  # which can be read as any other file
        return _file(Path("/dev/stdin"), timeout_s, decoding)
    return _pipe(open_stdin(), timeout_s, decoding)


def _pipe(pipe: Pipe, timeout_s: float, decoding: Decoding) -> Source:
    if image_header(pipe.head):
        return open_image(Path(pipe.name), pipe.read())
    if not begins_with_index(pipe.head):
        remedy = "give a file, or write it with -movflags +faststart or as Matroska"
        raise InputError(f"{pipe.name} is an MP4 with its index at the end, which a pipe cannot reach; {remedy}")
    return VideoSource(pipe, None, pipe.name, timeout_s, decoding)


def _file(path: Path, timeout_s: float, decoding: Decoding) -> Source:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return FolderSource(path)
        if stat.S_ISFIFO(status.st_mode) or is_terminal(path):
            return _pipe(open_pipe(path, timeout_s), timeout_s, decoding)
        if not stat.S_ISREG(status.st_mode):
            return LiveSource(str(path.absolute()), str(path), timeout_s=timeout_s, decoding=decoding)
        if status.st_size == 0:
            raise InputError(f"{path} is empty (0 bytes); copy it again")
        with path.open("rb") as file:
            head = file.read(32)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; expected {_EXPECTED}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error_reason(error)}") from error
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES or (suffix not in VIDEO_SUFFIXES and image_header(head)):
        return open_image(path)
    # An absolute path because FFmpeg parses "a:b.mp4" as a URL with the protocol "a".
    return VideoSource(str(path.absolute()), path, str(path), timeout_s, decoding)
