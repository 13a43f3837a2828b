"""Where composites go: the same kind of thing that the frames came from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...calibration.data.faces import PICTURE_SUFFIXES
from ...engines.errors import OutputError, UsageError
from ..pipeline.frame import Frame
from .base import Sink, Source
from .images import why_not_written, write_picture
from .video_writer import VIDEO_FORMATS, VideoSink

__all__ = ["FolderSink", "PictureSink", "Sink", "VideoSink", "open_sink"]


def open_sink(output: str | Path, source: Source, *, outscale: int = 1) -> Sink:
    """Prepare an output of the same kind as the source.

    Args:
        output: a picture file for a picture, a folder for a folder, a video file for a video, camera or URL. A folder
            (one that exists, or a name without suffix) for a single file takes it under the source's own name.
        source: where the frames come from.
        outscale: how much larger than the frames the composites will be.

    Returns:
        The sink, to be used in a `with` statement. Missing parent folders are made.

    Raises:
        UsageError: the output is the input, is of another kind, or cannot hold pictures as large as these.
        OutputError: a folder cannot be made or written to.
    """
    if outscale < 1:
        raise UsageError(f"outscale is {outscale}; give a whole number from 1")
    path = Path(output)
    if source.kind == "folder":
        return _folder_sink(path, source)
    suffixes = PICTURE_SUFFIXES if source.kind == "picture" else frozenset(VIDEO_FORMATS)
    if path.is_dir() or not path.suffix:
        if source.kind == "live":
            raise UsageError(f"{path} is a folder; for a live source name a file: {path / 'output.mp4'}")
        path = own_name_in(path, source.path, suffixes, ".png" if source.kind == "picture" else ".mp4")
    if path.suffix.lower() not in suffixes:
        raise UsageError(_misfit(path, source, suffixes))
    _refuse_same(path, source)
    _check_folder(path.parent)
    if source.kind == "picture":
        return PictureSink(path)
    format_ = VIDEO_FORMATS[path.suffix.lower()]
    longest = max(source.size_wh or (0,)) * outscale
    if longest > format_.largest:
        raise UsageError(
            f"{path.suffix} holds up to {format_.largest} px a side, not {longest}; use a smaller outscale"
        )
    return VideoSink(path, source, format_)


def _folder_sink(path: Path, source: Source) -> Sink:
    if path.is_file() or path.suffix.lower() in PICTURE_SUFFIXES | frozenset(VIDEO_FORMATS):
        raise UsageError(f"{source.name} is a folder of pictures and {path} is a file; give a folder")
    _refuse_same(path, source)
    _check_folder(path)
    return FolderSink(path)


def _misfit(path: Path, source: Source, suffixes: frozenset[str]) -> str:
    kind = {"picture": "a picture", "video": "a video", "live": "a live source"}[source.kind]
    return f"{source.name} is {kind}, which {path} cannot hold; name a file with {', '.join(sorted(suffixes))}"


def _refuse_same(path: Path, source: Source) -> None:
    if source.path and (path.resolve() == source.path.resolve() or (path.exists() and path.samefile(source.path))):
        raise UsageError(f"{path} is the input, which would be overwritten; give another output")


def _check_folder(folder: Path) -> None:
    """Make it, and see now rather than after the first frame whether it can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(why_not_written(folder, error)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {folder}: permission denied; choose another folder")


class PictureSink(Sink):
    """One picture file, whole or not there; its suffix names the format."""

    def _write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        write_picture(self.path, pixels)


class FolderSink(Sink):
    """A folder of pictures, each under the file name of the one it was made from."""

    def _write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        write_picture(self.path / (frame.name or f"{frame.index:06d}.png"), pixels)


def own_name_in(folder: Path, source: Path | None, suffixes: frozenset[str], otherwise: str) -> Path:
    """Name an output file in a folder after its source.

    Args:
        folder: where it goes.
        source: the input file.
        suffixes: what can be written.
        otherwise: the suffix for a source of another one.
    """
    name = source.name if source else "output"
    return folder / (name if Path(name).suffix.lower() in suffixes else Path(name).stem + otherwise)
