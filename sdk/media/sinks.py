"""`open_sink`: the sink for an output of the same kind as the source."""

from __future__ import annotations

import os
from pathlib import Path

from ...calibration.data.faces import IMAGE_SUFFIXES
from ...engines.errors import OutputError, UsageError
from .encode_options import EncodeOptions
from .images.image_file import image_options, image_paths
from .images.sink import FolderSink, ImageSink
from .reasons import write_error
from .source_sink import Sink, Source
from .video.containers import CONTAINER_FORMATS
from .video.writer import VideoSink

__all__ = ["FolderSink", "ImageSink", "Sink", "VideoSink", "open_sink"]


_DEFAULTS = EncodeOptions()
_VIDEO_OPTIONS = ("codec", "crf", "preset", "hwaccel")


def open_sink(output: str | Path, source: Source, *, outscale: int = 1, options: EncodeOptions = _DEFAULTS) -> Sink:
    """Open an output of the same kind as the source.

    Args:
        output: an image file for an image, a folder for a folder, a video file for a video, camera or URL. If a folder
            (an existing one, or a path without suffix) is given for a single file, the file name of the source is used.
        source: source of the frames.
        outscale: size of the composites relative to the frames.
        options: codec and quality of the output.

    Returns:
        The sink, a context manager. Missing parent folders are created.

    Raises:
        UsageError: the output is the input, is of another kind, or its format does not support the output size or an
            option; or the encoder is missing here or does not work.
        OutputError: a folder cannot be created or is not writable.
    """
    if outscale < 1:
        raise UsageError(f"expected an outscale of 1 or more, got {outscale}")
    path = Path(output)
    if source.kind == "folder":
        return _folder_sink(path, source, options)
    suffixes = IMAGE_SUFFIXES if source.kind == "image" else frozenset(CONTAINER_FORMATS)
    if path.is_dir() or not path.suffix:
        if source.kind == "live":
            raise UsageError(f"{path} is a folder; for a live source give a file: {path / 'output.mp4'}")
        path = _path_in_folder(path, source.path, suffixes, ".png" if source.kind == "image" else ".mp4")
    if path.suffix.lower() not in suffixes:
        kind = {"image": "an image", "video": "a video", "live": "a live source"}[source.kind]
        raise UsageError(
            f"{source.name} is {kind}, which {path} cannot store; give a file with {', '.join(sorted(suffixes))}"
        )
    _check_not_input(path, source)
    if source.kind == "image":
        options.check_applicable(image_options(path.suffix), path)
        _make_writable(path.parent)
        return ImageSink(path, options)
    container_format = CONTAINER_FORMATS[path.suffix.lower()]
    longest = max(source.size_wh or (0,)) * outscale
    if longest > container_format.max_side:
        raise UsageError(
            f"{path.suffix} supports up to {container_format.max_side} px a side, got {longest}; use a smaller outscale"
        )
    options.check_applicable(() if path.suffix.lower() == ".gif" else _VIDEO_OPTIONS, path)
    sink = VideoSink(path, source, container_format, options, outscale)
    _make_writable(path.parent)
    return sink


def _folder_sink(path: Path, source: Source, options: EncodeOptions) -> Sink:
    if path.is_file() or path.suffix.lower() in IMAGE_SUFFIXES | frozenset(CONTAINER_FORMATS):
        raise UsageError(f"{source.name} is a folder of images and {path} is a file; give a folder")
    _check_not_input(path, source)
    names = {name for image in image_paths(source.path or path) for name in image_options(image.suffix)}
    options.check_applicable(sorted(names), path)
    _make_writable(path)
    return FolderSink(path, options)


def _check_not_input(path: Path, source: Source) -> None:
    if source.path and (path.resolve() == source.path.resolve() or (path.exists() and path.samefile(source.path))):
        raise UsageError(f"{path} is the input and would be overwritten; give another output")


def _make_writable(folder: Path) -> None:
    """Create a folder and check write permission before the first frame is processed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(write_error(folder, error)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to {folder}: permission denied; choose another folder")


def _path_in_folder(folder: Path, source: Path | None, suffixes: frozenset[str], default_suffix: str) -> Path:
    """Output file with the source's name; `default_suffix` replaces a suffix that is not among `suffixes`."""
    name = source.name if source else "output"
    return folder / (name if Path(name).suffix.lower() in suffixes else Path(name).stem + default_suffix)
