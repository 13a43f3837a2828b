"""`open_source`: the source for a path, camera or URL."""

from __future__ import annotations

import stat
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ...engines.errors import InputError, UsageError
from .download import download_image
from .images.formats import IMAGE_SUFFIXES
from .images.header import image_header
from .images.sequence import DEFAULT_RATE, SequenceSource, is_sequence
from .images.source import AnimationSource, FolderSource, ImageSource, open_image
from .live import LiveSource
from .reasons import error_reason
from .source_sink import Kind, Source
from .url import masked
from .video.decoding import Decoding, choose_decoding
from .video.pipe import Pipe, is_redirected_file, is_terminal, open_pipe, open_stdin
from .video.reader import VideoSource
from .video.truncation import begins_with_index

__all__ = ["VIDEO_SUFFIXES", "AnimationSource", "FolderSource", "ImageSource", "Kind", "Source", "open_source"]

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".gif"})
STDIN = "-"
_EXPECTED = "an image, a folder, a video, a camera index or a URL"


def open_source(
    source: str | Path | int,
    *,
    timeout_s: float = 5.0,
    hwaccel: str | None = None,
    threads: int = 0,
    deinterlace: bool = True,
    rate: float | Fraction = DEFAULT_RATE,
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

    Returns:
        The source, a context manager and iterable of frames.

    Raises:
        InputError: missing, empty, damaged, not readable or not a supported format.
        UsageError: the timeout or rate is not positive, the hardware does not work, or an image has no use for it.
    """
    if timeout_s <= 0:
        raise UsageError(f"expected a timeout_s above 0 seconds, got {timeout_s:g}")
    decoding, notes = choose_decoding(hwaccel, threads)
    if is_sequence(source):
        opened: Source = SequenceSource(Path(str(source)), rate)
    else:
        opened = _open(source, timeout_s, replace(decoding, deinterlace=deinterlace))
    if hwaccel and (opened.kind in ("image", "folder") or isinstance(opened, AnimationSource | SequenceSource)):
        opened.close()
        raise UsageError(f"hwaccel {hwaccel} cannot be used for {opened.name}: images are decoded in software")
    opened.info += notes
    return opened


def _open(source: str | Path | int, timeout_s: float, decoding: Decoding) -> Source:
    text = str(source)
    if isinstance(source, int) or (text.isdecimal() and not Path(text).exists()):
        return _camera(f"/dev/video{int(text)}", timeout_s, decoding)
    if isinstance(source, str) and "://" in source:
        return _url(source, timeout_s, decoding)
    if text == STDIN:
        return _stdin(timeout_s, decoding)
    if text.startswith("/dev/video"):
        return _camera(text, timeout_s, decoding)
    return _file(Path(text), timeout_s, decoding)


def _camera(device: str, timeout_s: float, decoding: Decoding) -> Source:
    if not sys.platform.startswith("linux"):
        raise InputError(f"{device}: cameras are read through V4L2, which requires Linux; give a URL")
    if not Path(device).exists():
        devices = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*"))) or "none"
        raise InputError(f"camera {device} does not exist; available cameras: {devices}")
    return LiveSource(device, device, "v4l2", timeout_s, decoding=decoding)


def _url(url: str, timeout_s: float, decoding: Decoding) -> Source:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _file(Path(unquote(parts.path)), timeout_s, decoding)
    name = masked(url)
    if parts.scheme in ("http", "https") and Path(parts.path).suffix.lower() in VIDEO_SUFFIXES:
        return VideoSource(url, None, name, timeout_s, decoding)
    if parts.scheme in ("http", "https") and (data := download_image(url, timeout_s)) is not None:
        image = open_image(Path(Path(unquote(parts.path)).name or "image"), data)
        image.path, image.name = None, name
        return image
    return LiveSource(url, name, timeout_s=timeout_s, decoding=decoding)


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
