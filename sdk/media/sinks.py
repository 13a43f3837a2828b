"""`open_sink`: the sink for an output of the same kind as the source."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from ...engines.errors import OutputError, UsageError
from ...engines.files import remove_temporaries
from ..provenance.signable import check_signable
from .encode_options import EncodeOptions
from .images.formats import IMAGE_FORMATS, IMAGE_SUFFIXES, ImageFormat, image_format
from .images.pillow import load_plugin
from .images.sequence import SequenceSource
from .images.sink import AnimationSink, FolderSink, ImageSink
from .images.source import AnimationSource, FolderSource
from .images.stream_sink import ImageStreamSink
from .journal import Journal
from .lock import check_name
from .reasons import write_error
from .source_sink import Sink, Source
from .standard_output import is_standard_output, is_stream
from .video.containers import CONTAINER_FORMATS
from .video.sequence_sink import SequenceSink, is_sequence
from .video.stream_sink import StreamSink, streamed
from .video.writer import VideoSink

if TYPE_CHECKING:
    from ..provenance.credentials import Credentials

__all__ = ["AnimationSink", "FolderSink", "ImageSink", "Sink", "VideoSink", "open_sink"]


_DEFAULTS = EncodeOptions()
_VIDEO_OPTIONS = ("codec", "crf", "preset", "hwaccel", "no_provenance")
_IMAGE_OPTIONS = ("strip_metadata", "no_provenance")


def open_sink(
    output: str | Path,
    source: Source,
    *,
    outscale: int = 1,
    options: EncodeOptions = _DEFAULTS,
    resume: bool = False,
    sign: Credentials | None = None,
) -> Sink:
    """Open an output of the same kind as the source. Only one sink at a time can be open for an output.

    Args:
        output: an image file for an image, a folder for a folder, a video file for a video, camera or URL. If a folder
            (an existing one, or a path without suffix) is given for a single file, the file name of the source is used.
            Frames of a video become numbered images: frames/%05d.png.
            "-" is standard output: PNG for an image, Matroska for a video; so are FIFOs without a suffix.
        source: source of the frames.
        outscale: size of the composites relative to the frames.
        options: codec and quality of the output.
        resume: `run` goes on with a stopped run of the same output, input, options and networks: frames that are done
            are not done again. The result is that of a run without the stop.
        sign: what signs each file by C2PA, see `load_credentials`; the composites must come from `run`. None for
            unsigned files. A signed video cannot be resumed.

    Returns:
        The sink, a context manager. Missing parent folders are created.

    Raises:
        UsageError: the output is the input, is of another kind, or its format does not support the output size or an
            option; or the encoder is missing here or does not work; or its format cannot be signed.
        OutputError: a folder cannot be created or is not writable, or another run writes the output.
    """
    sink = _open(output, source, outscale, options)
    if sign is not None:
        _sign(sink, source, sign)
    if is_stream(sink.path):
        if resume:
            raise UsageError(f"{sink.path} cannot be resumed: what was written is gone; give a file")
        return sink
    sink.journal = Journal(sink.path, resume)
    sink.notes += sink.journal.notes
    if source.kind in ("image", "folder"):
        images = source.images if isinstance(source, FolderSource) else ()
        remove_temporaries([sink.path / name for name in images] or [sink.path])
    return sink


def _sign(sink: Sink, source: Source, credentials: Credentials) -> None:
    from ..provenance.seal import Seal

    if isinstance(sink, StreamSink):
        raise UsageError(f"{sink.path} cannot be signed: a video that is written to a pipe cannot; give a file")
    if not isinstance(sink, ImageStreamSink):
        for name in signed_names(sink.path, source):
            check_signable(name)
    sink.seal = Seal(credentials, source, sink.notes.append)
    sink.identity["signed by"] = credentials.fingerprint
    sink.resumable = sink.resumable and isinstance(sink, FolderSink)


def signed_names(path: Path, source: Source) -> Iterable[str]:
    """Names of the files of an output, for `check_signable`."""
    return source.images if isinstance(source, FolderSource) else (path.name,)


def _open(output: str | Path, source: Source, outscale: int, options: EncodeOptions) -> Sink:
    if outscale < 1:
        raise UsageError(f"expected an outscale of 1 or more, got {outscale}")
    path = Path(output)
    check_name(path)
    if is_stream(path):
        return _stream_sink(path, source, outscale, options)
    if isinstance(source, SequenceSource) and source.path and (path.is_dir() or not path.suffix):
        path = path / source.path.name
    if is_sequence(path) and source.kind != "image":
        return _sequence_sink(path, source, options)
    if source.kind == "folder":
        return _folder_sink(path, source, outscale, options)
    animated = source.kind == "video" and _is_animation(source)
    suffixes = _suffixes(source, animated)
    if path.is_dir() or not path.suffix:
        if source.kind == "live":
            raise UsageError(f"{path} is a folder; for a live source give a file: {path / 'output.mp4'}")
        name = source.path.name if source.path else Path(unquote(urlsplit(source.name).path)).name or "output"
        path = path / output_name(
            name, "image" if source.kind == "image" or isinstance(source, AnimationSource) else "video"
        )
    if path.suffix.lower() not in suffixes:
        kind = {"image": "an image", "video": "a video", "live": "a live source"}[source.kind]
        raise UsageError(
            f"{source.name} is {kind}, which {path} cannot store; give a file with {', '.join(sorted(suffixes))}"
        )
    _check_not_input(path, source)
    if target := image_format(path):
        options.check_applicable(output_options(path.name), path)
        if reason := _too_large(target, path.suffix, source.size_wh or (0, 0), outscale):
            raise UsageError(reason)
        load_plugin(target.name)
        make_writable(path.parent)
        if not animated:
            return ImageSink(path, options)
        return AnimationSink(path, options, getattr(source, "loop", None) or 0)
    container_format = CONTAINER_FORMATS[path.suffix.lower()]
    longest = max(source.size_wh or (0,)) * outscale
    if longest > container_format.max_side:
        raise UsageError(
            f"{path.suffix} supports up to {container_format.max_side} px a side, got {longest}; use a smaller outscale"
        )
    options.check_applicable(output_options(path.name), path)
    sink = VideoSink(path, source, container_format, options, outscale)
    make_writable(path.parent)
    return sink


def _sequence_sink(path: Path, source: Source, options: EncodeOptions) -> Sink:
    if (target := image_format(path)) is None:
        raise UsageError(f"{path} numbers images; give a suffix among {', '.join(sorted(IMAGE_SUFFIXES))}")
    options.check_applicable(output_options(path.name), path)
    load_plugin(target.name)
    sink = SequenceSink(path, source, options)
    _check_no_image_overwritten(path, source)
    make_writable(path.parent)
    return sink


def _stream_sink(path: Path, source: Source, outscale: int, options: EncodeOptions) -> Sink:
    """Sink of standard output, a FIFO or a device."""
    name = "standard output" if is_standard_output(path) else str(path)
    if source.kind == "folder":
        raise UsageError(f"{source.name} is a folder of images, which {name} cannot store; give a folder")
    if source.kind == "image":
        target = image_format(path) or IMAGE_FORMATS["PNG"]
        options.check_applicable((*target.options, *_IMAGE_OPTIONS), path)
        return ImageStreamSink(path, target, options)
    container = streamed(CONTAINER_FORMATS.get(path.suffix.lower(), CONTAINER_FORMATS[".mkv"]))
    if container is None:
        raise UsageError(f"{path} cannot be sought, which {path.suffix} requires; use .mkv, .webm or .mp4")
    options.check_applicable(_VIDEO_OPTIONS, path)
    return StreamSink(path, source, container, options, outscale)


def _is_animation(source: Source) -> bool:
    """Whether a source is an animation, or pages, that image files can hold."""
    return isinstance(source, AnimationSource) or (source.path is not None and source.path.suffix.lower() == ".gif")


def _suffixes(source: Source, animated: bool) -> frozenset[str]:
    if source.kind == "image":
        return IMAGE_SUFFIXES
    videos = frozenset(CONTAINER_FORMATS)
    return IMAGE_SUFFIXES | videos if animated else videos


def _too_large(target: ImageFormat, suffix: str, size_wh: tuple[int, int], outscale: int) -> str | None:
    """Why a format cannot store a composite; None if it can."""
    longest = max(size_wh) * outscale
    if longest <= target.max_side:
        return None
    return (
        f"{suffix} supports up to {target.max_side} px a side, got {longest}; use .png or .tif, or a smaller outscale"
    )


def output_name(name: str, kind: Literal["image", "video"]) -> str:
    """Name of an output in a folder: that of the input, with suffix .png or .mp4 if its own cannot be written."""
    suffixes = IMAGE_SUFFIXES if kind == "image" else frozenset(CONTAINER_FORMATS)
    path = PurePosixPath(name)
    return name if path.suffix.lower() in suffixes else str(path.with_suffix(".png" if kind == "image" else ".mp4"))


def output_options(name: str) -> tuple[str, ...]:
    """Names of the `EncodeOptions` that apply to an output file of this name."""
    suffix = PurePath(name).suffix.lower()
    if target := image_format(Path(name)):
        return (*target.options, *_IMAGE_OPTIONS)
    if suffix == ".gif":
        return ("no_provenance",)
    return _VIDEO_OPTIONS if suffix in CONTAINER_FORMATS else ()


def _folder_sink(path: Path, source: Source, outscale: int, options: EncodeOptions) -> Sink:
    if path.is_file() or path.suffix.lower() in IMAGE_SUFFIXES | frozenset(CONTAINER_FORMATS):
        raise UsageError(f"{source.name} is a folder of images and {path} is a file; give a folder")
    _check_not_input(path, source)
    if not isinstance(source, FolderSource):
        make_writable(path)
        return FolderSink(path, options)
    options.check_applicable(sorted({name for image in source.images for name in output_options(image)}), path)
    source.refuse = partial(_refuse, outscale)
    make_writable(path)
    return FolderSink(path, options, source.loops)


def _refuse(outscale: int, name: str, size_wh: tuple[int, int]) -> str | None:
    """Why a file of a folder cannot be written, before it is upscaled; None if it can."""
    target = image_format(Path(name))
    reason = _too_large(target, Path(name).suffix, size_wh, outscale) if target else None
    return f"{name}: {reason}" if reason else None


def _check_not_input(path: Path, source: Source) -> None:
    if source.path and (path.resolve() == source.path.resolve() or (path.exists() and path.samefile(source.path))):
        raise UsageError(f"{path} is the input and would be overwritten; give another output")


def _check_no_image_overwritten(pattern: Path, source: Source) -> None:
    """Reject numbered outputs that are images of the source."""
    images = source.files if isinstance(source, SequenceSource) else getattr(source, "images", {}).values()
    written = {pattern.name % index for index in range(len(images))}
    for image in images:
        if image.name in written and image.parent.resolve() == pattern.parent.resolve():
            raise UsageError(f"{image} is an input and would be overwritten by {pattern}; give another folder")


def make_writable(folder: Path) -> None:
    """Create a folder and check write permission before the first frame is processed.

    Raises:
        OutputError: it cannot be created or is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(write_error(folder, error)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to {folder}: permission denied; choose another folder")
