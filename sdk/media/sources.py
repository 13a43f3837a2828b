"""Where frames come from: a picture, a folder, a video, a camera or a URL."""

from __future__ import annotations

import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ...calibration.data.faces import PICTURE_SUFFIXES
from ...engines.errors import InputError, UsageError
from ..pipeline.frame import Frame
from .base import Kind, Source
from .image_header import picture_header
from .images import picture_paths, read_picture, why
from .live import LiveSource
from .video_reader import VideoSource

__all__ = ["VIDEO_SUFFIXES", "FolderSource", "Kind", "PictureSource", "Source", "open_source"]

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".gif"})
_EXPECTED = "a picture, a folder, a video, a camera number or a URL"


class PictureSource(Source):
    """One picture file, read when it is opened.

    Raises:
        InputError: see `read_picture`.
    """

    kind = "picture"
    frame_count = 1

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.name = path, str(path)
        self._pixels = read_picture(path)
        self.size_wh = (self._pixels.shape[1], self._pixels.shape[0])

    def __iter__(self) -> Iterator[Frame]:
        """Give the one frame."""
        self.exhausted = False
        yield Frame(self._pixels, name=self.path.name if self.path else "")
        self.exhausted = True


class FolderSource(Source):
    """The pictures of a folder by sorted name, each read when its turn comes.

    Raises:
        InputError: the folder cannot be listed, or holds no picture.
    """

    kind = "folder"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.name = path, str(path)
        self._paths = picture_paths(path)
        self.frame_count = len(self._paths)

    def __iter__(self) -> Iterator[Frame]:
        """Give one frame a picture, `Frame.name` being its file name.

        Raises:
            InputError: a picture is not readable.
        """
        self.exhausted = False
        for index, path in enumerate(self._paths):
            yield Frame(read_picture(path), index, name=path.name)
        self.exhausted = True


def open_source(what: str | Path | int, *, timeout_s: float = 5.0) -> Source:
    """Open whatever frames may come from.

    Args:
        what: a picture file, a folder of pictures, a video file, a camera's number or device, or a URL. A URL that
            names a video file (http://host/clip.mp4) is read to its end, frame by frame; every other one is live.
        timeout_s: seconds to wait for a camera or URL to answer, and for each frame of it.

    Returns:
        The source, to be used in a `with` statement and iterated.

    Raises:
        InputError: missing, empty, damaged, not readable, or nothing of these.
        UsageError: the timeout is not positive.
    """
    if timeout_s <= 0:
        raise UsageError(f"timeout_s is {timeout_s:g}; give a number of seconds above 0")
    text = str(what)
    if isinstance(what, int) or (text.isdecimal() and not Path(text).exists()):
        return _camera(f"/dev/video{int(text)}", timeout_s)
    if isinstance(what, str) and "://" in what:
        return _url(what, timeout_s)
    if text.startswith("/dev/video"):
        return _camera(text, timeout_s)
    return _file(Path(text), timeout_s)


def _camera(device: str, timeout_s: float) -> Source:
    if not sys.platform.startswith("linux"):
        raise InputError(f"{device}: cameras are read through V4L2, which only Linux has; give a URL")
    if not Path(device).exists():
        found = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*"))) or "none"
        raise InputError(f"there is no camera {device}; cameras here: {found}")
    return LiveSource(device, device, "v4l2", timeout_s)


def _url(url: str, timeout_s: float) -> Source:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _file(Path(unquote(parts.path)), timeout_s)
    name = re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", url)
    if parts.scheme in ("http", "https") and Path(parts.path).suffix.lower() in VIDEO_SUFFIXES:
        return VideoSource(url, None, name, timeout_s)
    return LiveSource(url, name, timeout_s=timeout_s)


def _file(path: Path, timeout_s: float) -> Source:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return FolderSource(path)
        if not stat.S_ISREG(status.st_mode):  # a pipe or device gives what it gives, once
            return LiveSource(str(path.absolute()), str(path), timeout_s=timeout_s)
        if status.st_size == 0:
            raise InputError(f"{path} is empty (0 bytes); copy it again")
        with path.open("rb") as file:
            head = file.read(32)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; expected {_EXPECTED}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {why(error)}") from error
    suffix = path.suffix.lower()
    if suffix in PICTURE_SUFFIXES or (suffix not in VIDEO_SUFFIXES and picture_header(head)):
        return PictureSource(path)
    # An absolute path, because FFmpeg takes "a:b.mp4" for a protocol named "a".
    return VideoSource(str(path.absolute()), path, str(path), timeout_s)
