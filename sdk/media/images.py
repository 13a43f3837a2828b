"""Picture files: read upright as BGR, written whole or not at all."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...calibration.data.faces import PICTURE_SUFFIXES
from ...engines.errors import InputError, OutputError
from ..pipeline.frame import bgr_from
from .image_header import picture_header

LARGEST_MEGAPIXELS = 100


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read a JPEG, PNG, WebP, BMP or TIFF picture, turned upright as its EXIF orientation says.

    Args:
        path: the file; its content decides what it is, not its suffix.

    Returns:
        (H, W, 3) uint8 BGR; alpha is dropped, and of 16 bits the upper eight are kept.

    Raises:
        InputError: missing, empty, cut short, damaged, not a picture, or larger than 100 megapixels.
    """
    data = read_bytes(path)
    header = picture_header(data)
    if header is None:
        raise InputError(f"{path} is not a picture; expected JPEG, PNG, WebP, BMP or TIFF")
    width, height = header.size_wh
    if width * height > LARGEST_MEGAPIXELS * 1_000_000:
        raise InputError(
            f"{path} is {width}x{height}, {width * height / 1e6:.0f} megapixels; "
            f"at most {LARGEST_MEGAPIXELS} are read, shrink it or cut it into parts"
        )
    damaged = f"{path} is a {header.format} picture that is cut short or damaged; copy it again"
    if not header.intact:
        raise InputError(damaged)
    with _quiet_opencv():
        # From bytes, because imread cannot open every name on every system. IMREAD_COLOR turns the picture upright.
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        except cv2.error as error:
            raise InputError(damaged) from error
    if pixels is None:
        raise InputError(damaged)
    try:
        return bgr_from(pixels)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a picture under a temporary name beside, then rename it: whoever looks sees a whole file.

    Args:
        path: its suffix names the format.
        pixels: (H, W, 3) uint8 BGR.

    Raises:
        OutputError: the format cannot hold the picture, or the file cannot be written; nothing is left behind then.
    """
    try:
        with _quiet_opencv():
            done, data = cv2.imencode(path.suffix.lower(), pixels)
    except cv2.error:
        done = False
    if not done:
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise OutputError(f"{path}: {path.suffix} cannot hold {size} pixels; use .png or .tif, or a smaller outscale")
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        partial.write_bytes(data.tobytes())
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OutputError(why_not_written(path, error)) from error
        raise


def picture_paths(folder: Path) -> list[Path]:
    """List the pictures of a folder, not of folders inside it, by sorted name.

    Raises:
        InputError: the folder cannot be listed, or holds no picture.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {why(error)}") from error
    if not paths:
        raise InputError(f"no picture in {folder}; expected {', '.join(sorted(PICTURE_SUFFIXES))}")
    return paths


def read_bytes(path: Path) -> bytes:
    """Read a file that must not be empty.

    Raises:
        InputError: it is missing, empty, or not to be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {why(error)}") from error
    if not data:
        raise InputError(f"{path} is empty (0 bytes); copy it again")
    return data


def why(error: Exception) -> str:
    """Say in a few words why the system or FFmpeg refused."""
    return str(getattr(error, "strerror", None) or error).lower().splitlines()[0]


def why_not_written(path: Path, error: Exception) -> str:
    """Say in one line why a file was not written, and what to do."""
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "free some space or choose another folder" if full else "choose another folder or kind of file"
    return f"cannot write {path}: {why(error)}; {remedy}"


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Keep OpenCV from printing what an error says already; its level is put back afterwards."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
