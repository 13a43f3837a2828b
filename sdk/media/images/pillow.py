"""Pillow with its plugins, each imported here only: formats, metadata and animations that OpenCV does not read."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ....engines.errors import InputError, MissingDependencyError, OutputError, first_line
from ...pipeline.frame import ImageMetadata
from ..encode_options import EncodeOptions
from .formats import IMAGE_FORMATS

_NAMES = {"JPEG XL": "JXL", "HEIC": "HEIF", "WebP": "WEBP"}
_ERRORS = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, MemoryError, Image.DecompressionBombError)


def open_pillow(data: bytes, name: str) -> Image.Image:
    """Open an image with Pillow; most formats are decoded later.

    Args:
        data: the whole file.
        name: key of `IMAGE_FORMATS`.

    Raises:
        InputError: not readable; one line without the file name.
        MissingDependencyError: a package that this format needs is not installed.
    """
    load_plugin(name)
    with quiet():
        try:
            return Image.open(io.BytesIO(data), formats=[_NAMES.get(name, name)])  # that of JPEG opens MPO too
        except UnidentifiedImageError:
            raise InputError("no valid header") from None
        except Exception as error:  # damage raises any type
            raise InputError(first_line(error)) from error


@contextmanager
def as_input_error() -> Iterator[None]:
    """Turn the errors of Pillow and its plugins into InputError; damage raises any type."""
    try:
        yield
    except Exception as error:
        raise InputError(f"is truncated or damaged ({first_line(error)}); copy it again") from error


# Without a handler, Python prints the errors that Pillow logs, which are raised too.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings, e.g. of damaged EXIF."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@cache
def load_plugin(name: str) -> None:
    """Import the package that a format needs.

    Raises:
        MissingDependencyError: it is not installed, or Pillow was built without the format.
    """
    try:
        if name == "HEIC":
            import pillow_heif

            pillow_heif.register_heif_opener(thumbnails=False)
        elif name == "JPEG XL":
            import pillow_jxl  # noqa: F401 (registers itself)
        elif name == "AVIF":
            from PIL import AvifImagePlugin

            if not AvifImagePlugin.SUPPORTED:
                raise ImportError
    except ImportError:
        package = IMAGE_FORMATS[name].package or "pillow>=11.3 with AVIF"
        raise MissingDependencyError(package, "formats", f"{name}") from None


def read_metadata(image: Image.Image) -> ImageMetadata:
    """Metadata of an opened image; blocks of unexpected types count as missing."""
    info = image.info
    exif = _tiff_exif(image) if image.format == "TIFF" else _block(info.get("exif")).removeprefix(b"Exif\0\0")
    dpi = info.get("dpi")
    if image.format in ("JPEG", "MPO") and info.get("jfif_unit") not in (1, 2):
        dpi = None  # of EXIF, or made up by Pillow
    if image.format == "TIFF" and _X_RESOLUTION not in getattr(image, "tag_v2", {}):
        dpi = None
    try:
        valid = dpi is not None and len(dpi) == 2 and all(0 < float(value) < 1e6 for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        valid = False
    return ImageMetadata(
        icc=_block(info.get("icc_profile")),
        exif=exif if exif[:4] in (b"II*\0", b"MM\0*") else b"",
        xmp=_block(info.get("xmp")).rstrip(b"\0"),
        dpi=(float(dpi[0]), float(dpi[1])) if valid and dpi else None,
    )


def _block(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return bytes(value) if isinstance(value, (bytes, bytearray)) else b""


_EXIF_IFD, _GPS_IFD, _X_RESOLUTION = 0x8769, 0x8825, 282
_DESCRIPTIVE = frozenset((270, 271, 272, 274, 305, 306, 315, 316, 33432, 18246, 18249))
"""Tags of a TIFF's main directory that belong to EXIF: description, make, model, orientation, software, date, …"""


def _tiff_exif(image: Image.Image) -> bytes:
    exif, kept = image.getexif(), Image.Exif()
    for tag, value in exif.items():
        if tag in _DESCRIPTIVE and not (tag == 274 and value == 1):
            kept[tag] = value
    for directory in (_EXIF_IFD, _GPS_IFD):
        if values := exif.get_ifd(directory):
            kept[directory] = dict(values)
    with quiet():
        try:
            return kept.tobytes().removeprefix(b"Exif\0\0") if len(kept) else b""
        except Exception:  # values of types that Pillow reads and cannot write
            return b""


def pixels_of(image: Image.Image) -> NDArray[Any]:
    """Decode the current frame: (H, W, 3) BGR or (H, W, 4) BGRA, uint8; (H, W) or BGR(A) uint16 where Pillow keeps it.

    Raises:
        InputError: truncated or damaged.
    """
    with quiet(), as_input_error():
        if image.mode.startswith("I;16"):
            return np.asarray(image).astype(np.uint16)
        if image.mode in ("RGB;16", "RGBA;16"):
            return _bgr(np.asarray(image))
        alpha = "A" in image.mode or "a" in image.mode or "transparency" in image.info
        return _bgr(np.asarray(image.convert("RGBA" if alpha else "RGB")))


def _bgr(pixels: NDArray[Any]) -> NDArray[Any]:
    order = [0, 0, 0, 1] if pixels.shape[2] == 2 else [2, 1, 0, 3][: pixels.shape[2]]
    return np.ascontiguousarray(pixels[:, :, order])


def heic_pixels(data: bytes) -> NDArray[Any]:
    """Decode a HEIC image with all its bits: BGR or BGRA, uint16 if it has more than 8 bits per sample.

    Raises:
        InputError: truncated or damaged.
    """
    import pillow_heif

    with quiet(), as_input_error():
        file = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
        pixels = np.asarray(file)
        return _bgr(pixels) if pixels.ndim == 3 else pixels


def encode_pillow(pixels: NDArray[Any], metadata: ImageMetadata, name: str, options: EncodeOptions) -> bytes:
    """Encode an image with its metadata as AVIF, HEIC or JPEG XL.

    Args:
        pixels: (H, W, 3) BGR or (H, W, 4) BGRA, uint8; for HEIC also uint16, stored in 10 bits.
        metadata: that the format can store.
        name: key of `IMAGE_FORMATS`.
        options: quality, 90 by default, and subsampling.

    Raises:
        OutputError: the encoder failed; one line without the file name.
        MissingDependencyError: a package that this format needs is not installed.
    """
    load_plugin(name)
    settings: dict[str, Any] = {"quality": 90 if options.quality is None else options.quality}
    settings |= {"exif": metadata.exif} if metadata.exif else {}
    settings |= {"xmp": metadata.xmp} if metadata.xmp else {}
    settings |= {"icc_profile": metadata.icc} if metadata.icc else {}
    if options.subsampling:
        settings["subsampling"] = ":".join(options.subsampling)
    file = io.BytesIO()
    with quiet():
        try:
            if pixels.dtype == np.uint16:
                _deep_heic(pixels, metadata.icc).save(file, **settings)
            else:
                Image.fromarray(_bgr(pixels)).save(file, format=_NAMES.get(name, name), **settings)
        except (*_ERRORS, NotImplementedError, KeyError) as error:
            raise OutputError(f"cannot be encoded as {name}: {first_line(error)}; use another format") from error
    return file.getvalue()


def _deep_heic(pixels: NDArray[Any], icc: bytes) -> Any:
    """A file of pillow-heif, which encodes 16 bits in 10."""
    import pillow_heif

    mode = "BGR;16" if pixels.shape[2] == 3 else "BGRA;16"
    file = pillow_heif.from_bytes(mode, (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
    if icc:
        file[0].info["icc_profile"] = icc
    return file
