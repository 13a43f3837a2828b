"""The picture of a request: identified by its content, its size checked before it is decoded."""

from __future__ import annotations

from pathlib import Path

from ....engines.errors import InputError, MissingDependencyError
from ...media.images.formats import IMAGE_FORMATS
from ...media.images.header import image_header
from ...media.images.image_file import ImageFile
from ...pipeline.frame import Frame
from .jpeg_scans import MAX_SCANS, MAX_SEGMENTS, has_too_many_scans
from .limits import Limits
from .problem import Problem

_NAME = Path("the picture")
"""In messages: the name of a client's file is its own affair."""


def open_picture(data: bytes, limits: Limits) -> tuple[Frame, tuple[str, ...]]:
    """Decode the picture, of an animation the first one.

    Args:
        data: the file.
        limits: of the service.

    Returns:
        The frame, and what was converted or not read, one line each.

    Raises:
        Problem: 413 too many pixels, 415 not a picture, 422 truncated, damaged, of an unsupported layout, or a
            JPEG of too many scans.
    """
    if has_too_many_scans(data):
        text = f"the picture has more than {MAX_SCANS} scans or {MAX_SEGMENTS:,} segments"
        raise Problem(422, f"{text}; save it again as an ordinary JPEG")
    header = image_header(data)
    if header is None:
        raise Problem(415, f"the body is not a picture; expected a file of {', '.join(IMAGE_FORMATS)}")
    _check_size(*header.size_wh, limits)
    try:
        file = ImageFile(_NAME, data)
        _check_size(*file.size_wh, limits)
        frame = next(file.frames())
    except InputError as error:
        raise Problem(422, error) from error
    except MissingDependencyError as error:
        raise Problem(415, f"{header.format} cannot be read by this service: {error}") from error
    notes = list(file.notes)
    if file.frame_count > 1:
        notes.append(f"the first of {file.frame_count} pictures was used")
    if frame.alpha is not None:
        notes.append("transparency ignored")
    return frame, tuple(notes)


def _check_size(width: int, height: int, limits: Limits) -> None:
    megapixels = width * height / 1e6
    if megapixels > limits.max_megapixels:
        raise Problem(
            413,
            f"the picture has {width}x{height} pixels, {megapixels:.1f} megapixels; "
            f"the limit is {limits.max_megapixels:g}, resize or crop it",
        )
