"""Image files: decoding to upright BGR, and atomic writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ....calibration.data.faces import IMAGE_SUFFIXES
from ....engines.errors import InputError, OutputError
from ....engines.files import write_atomic
from ...pipeline.frame import bgr_from
from ..encode_options import EncodeOptions
from ..reasons import error_reason, write_error
from .header import image_header

MAX_MEGAPIXELS = 100
_DEFAULTS = EncodeOptions()
# Level 1 with run-length matching and, in OpenCV from 4.12, each row as the difference to the row above. At 3840x2160
# (three pictures): 260 ms and 5.1 MB; OpenCV's default, the difference to the left, 300 ms and 6.0 MB; level 1 with all
# options of zlib 480 ms and 5.6 MB, level 3 800 ms and 5.1 MB, level 6 2270 ms and 4.6 MB.
_PNG_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):
    _PNG_FAST = [
        *(cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
        *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    ]


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a JPEG, PNG, WebP, BMP or TIFF image and apply its EXIF orientation.

    Args:
        path: image file; the format is identified by content, not by suffix.

    Returns:
        (H, W, 3) uint8 BGR; alpha is dropped, 16-bit samples are reduced to their upper 8 bits.

    Raises:
        InputError: missing, empty, truncated, damaged, not an image, or larger than 100 megapixels.
    """
    data = read_bytes(path)
    header = image_header(data)
    if header is None:
        raise InputError(f"{path} is not an image; expected JPEG, PNG, WebP, BMP or TIFF")
    width, height = header.size_wh
    if width * height > MAX_MEGAPIXELS * 1_000_000:
        raise InputError(
            f"{path} has {width}x{height} pixels, {width * height / 1e6:.0f} megapixels; "
            f"the limit is {MAX_MEGAPIXELS}, resize or crop it"
        )
    damaged = f"{path} is a truncated or damaged {header.format} image; copy it again"
    if not header.complete:
        raise InputError(damaged)
    with _silent_opencv():
        # Decoded from memory because imread fails on non-ASCII names on some systems. IMREAD_COLOR applies the EXIF
        # orientation.
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


def write_image(path: Path, pixels: NDArray[np.uint8], options: EncodeOptions = _DEFAULTS) -> None:
    """Write an image atomically.

    Args:
        path: destination; the suffix selects the format.
        pixels: (H, W, 3) uint8 BGR.
        options: quality of JPEG and WebP, compression of PNG.

    Raises:
        OutputError: the format does not support this size, or the file cannot be written; `path` is unchanged.
    """
    try:
        with _silent_opencv():
            encoded, data = cv2.imencode(path.suffix.lower(), pixels, _parameters(path.suffix.lower(), options))
    except cv2.error:
        encoded = False
    if not encoded:
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise OutputError(f"{path}: {path.suffix} cannot store {size} pixels; use .png or .tif, or a smaller outscale")
    try:
        write_atomic(path, data.tobytes())
    except OSError as error:
        raise OutputError(write_error(path, error)) from error


def image_options(suffix: str) -> tuple[str, ...]:
    """Names of the `EncodeOptions` of an image format, given by its suffix."""
    return {".png": ("compression",), ".jpg": ("quality",), ".jpeg": ("quality",), ".webp": ("quality",)}.get(
        suffix.lower(), ()
    )


def _parameters(suffix: str, options: EncodeOptions) -> list[int]:
    """OpenCV's encoding parameters."""
    if "compression" in image_options(suffix):
        return _PNG_FAST if options.compression is None else [cv2.IMWRITE_PNG_COMPRESSION, options.compression]
    if "quality" in image_options(suffix) and options.quality is not None:
        name = cv2.IMWRITE_WEBP_QUALITY if suffix == ".webp" else cv2.IMWRITE_JPEG_QUALITY
        return [name, options.quality]
    return []


def image_paths(folder: Path) -> list[Path]:
    """List the images of a folder, not of its subfolders, sorted by name.

    Raises:
        InputError: the folder cannot be listed or holds no images.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error_reason(error)}") from error
    if not paths:
        raise InputError(f"no images in {folder}; expected {', '.join(sorted(IMAGE_SUFFIXES))}")
    return paths


def read_bytes(path: Path) -> bytes:
    """Read a non-empty file.

    Raises:
        InputError: missing, empty or not readable.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error_reason(error)}") from error
    if not data:
        raise InputError(f"{path} is empty (0 bytes); copy it again")
    return data


@contextmanager
def _silent_opencv() -> Iterator[None]:
    """Suppress OpenCV's own log messages, which would repeat the raised error."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
