"""Decoding of one image: pixels, opacity, all bits, and what is converted or lost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ....engines.errors import InputError
from ...pipeline.frame import ImageMetadata, bgr_from
from .color_profiles import CMYK, GRAY, LAB, RGB, color_space, gray_to_srgb, profile_name, to_srgb
from .exif import orientation, upright_exif, upright_xmp
from .header import ImageHeader, tiff_pages, tiff_tags
from .jpeg import JPEG_END, decode_jpeg, jpeg_scans, scans_truncated
from .opencv import decode_opencv
from .pillow import heic_pixels, open_pillow, pixels_of
from .transparency import fill_hidden

DAMAGED = "is truncated or damaged; copy it again"
_GRAY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I")


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """An upright image.

    Args:
        pixels: (H, W, 3) uint8 BGR; under invisible pixels the color of the nearest visible pixel.
        alpha: (H, W) uint8 or uint16; None if opaque.
        deep: (H, W, 3) uint16 BGR if the file has more than 8 bits per sample; else None.
        metadata: for these pixels: orientation 1, and no profile that does not fit BGR.
        notes: what is converted or lost, one line each.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[Any] | None
    deep: NDArray[np.uint16] | None
    metadata: ImageMetadata
    notes: tuple[str, ...] = ()


def decode_image(data: bytes, header: ImageHeader, image: Image.Image | None, metadata: ImageMetadata) -> DecodedImage:
    """Decode an image that is not animated.

    Args:
        data: the whole file.
        header: of it.
        image: opened with Pillow; None if Pillow does not know its layout.
        metadata: of the file.

    Raises:
        InputError: truncated, damaged, or a layout that is not supported; one line without the file name.
    """
    notes: list[str] = []
    decoded = _decode(data, header, image, metadata.icc, notes)
    if decoded is None:
        raise InputError(DAMAGED)
    gray = image is not None and image.mode in _GRAY_MODES
    if image is not None and image.mode in ("CMYK", "LAB"):  # its profile is used up
        metadata = replace(metadata, icc=b"")
    return finish(decoded, metadata, notes, gray=gray, turn=turned_by_exif(header, image))


def turned_by_exif(header: ImageHeader, image: Image.Image | None) -> bool:
    """Whether decoded pixels are still to be turned: decoders apply the orientation of TIFF, HEIC and JPEG XL."""
    return header.format not in ("TIFF", "HEIC", "JPEG XL") or bool(getattr(image, "jpeg", False))


def finish(
    decoded: NDArray[Any], metadata: ImageMetadata, notes: list[str], *, gray: bool = False, turn: bool = True
) -> DecodedImage:
    """Turn decoded samples upright, and split them into colors, opacity and profile.

    Args:
        decoded: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA, uint8 or uint16.
        metadata: of the file.
        notes: of the image; extended.
        gray: whether the file has one color channel.
        turn: whether the pixels are to be turned as EXIF says.
    """
    if turn:
        decoded = _upright(decoded, orientation(metadata.exif))
    metadata = replace(metadata, exif=upright_exif(metadata.exif), xmp=upright_xmp(metadata.xmp))
    alpha = _opacity(decoded)
    if metadata.icc and color_space(metadata.icc) != RGB:
        decoded = _without_profile(decoded, metadata.icc, notes, gray)
        metadata = replace(metadata, icc=b"")
    colors = _colors(decoded)
    if alpha is not None:
        fill_hidden(colors, alpha)
    deep = colors if colors.dtype == np.uint16 else None
    return DecodedImage(bgr_from(colors), alpha, deep, metadata, tuple(notes))


def _colors(decoded: NDArray[Any]) -> NDArray[Any]:
    if decoded.ndim == 2:
        return cv2.cvtColor(decoded, cv2.COLOR_GRAY2BGR)
    return decoded if decoded.shape[2] == 3 else np.ascontiguousarray(decoded[:, :, :3])


def _opacity(decoded: NDArray[Any]) -> NDArray[Any] | None:
    if decoded.ndim == 2 or decoded.shape[2] != 4:
        return None
    alpha = np.ascontiguousarray(decoded[:, :, 3])
    return None if int(alpha.min()) == np.iinfo(alpha.dtype).max else alpha


def _without_profile(decoded: NDArray[Any], icc: bytes, notes: list[str], gray: bool) -> NDArray[Any]:
    """Apply a grey profile, which cannot stay with color pixels; drop others that do not fit."""
    levels = np.ascontiguousarray(decoded if decoded.ndim == 2 else decoded[:, :, 1])
    converted = gray_to_srgb(levels, icc) if gray and color_space(icc) == GRAY else None
    if converted is None:
        notes.append(f"ICC profile dropped: {profile_name(icc)} does not fit the pixels")
        return decoded
    if (converted[:, :, 1] != levels).any():
        notes.append(f"gray levels converted to sRGB from {profile_name(icc)}")
    return converted


def _upright(decoded: NDArray[Any], value: int) -> NDArray[Any]:
    """Apply an EXIF orientation, 1 to 8."""
    if value in (5, 6, 7, 8):
        decoded = cv2.transpose(decoded)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(value)
    return decoded if flip is None else cv2.flip(decoded, flip)


def _decode(
    data: bytes, header: ImageHeader, image: Image.Image | None, icc: bytes, notes: list[str]
) -> NDArray[Any] | None:
    if header.format == "TIFF":
        return _decode_tiff(data, header, image, icc, notes)
    if header.format in ("JPEG", "PNG", "WebP", "BMP"):
        if image is not None and image.mode == "CMYK":
            return _decode_cmyk(data, image, icc, notes)
        if image is not None and (header.alpha if header.format == "BMP" else header.animated):
            return pixels_of(image)  # also an animation of one frame
        if header.format == "JPEG":
            return decode_jpeg(data, header)
        decoded = decode_opencv(data, unchanged=header.alpha or header.bits > 8)
        if image is not None and header.format == "PNG" and image.mode in _GRAY_MODES:
            return _with_color_key(decoded, image.info.get("transparency"), header.bits)
        return decoded
    if header.bits > 8:
        return _decode_deep(data, header, image, notes)
    return pixels_of(image) if image is not None else None


def _with_color_key(decoded: NDArray[Any] | None, key: Any, bits: int) -> NDArray[Any] | None:
    """Grey levels with opacity 0 where they equal a level of the file, which OpenCV ignores for grey."""
    if not isinstance(key, int) or decoded is None or (decoded.ndim == 3 and decoded.shape[2] == 4):
        return decoded
    gray = decoded if decoded.ndim == 2 else decoded[:, :, 0]
    largest = np.iinfo(gray.dtype).max
    opacity = np.where(gray == key * largest // ((1 << bits) - 1), 0, largest).astype(gray.dtype)
    return np.dstack([gray, gray, gray, opacity])


def _decode_deep(data: bytes, header: ImageHeader, image: Image.Image | None, notes: list[str]) -> NDArray[Any] | None:
    decoded = heic_pixels(data) if header.format == "HEIC" else pixels_of(image) if image is not None else None
    if decoded is not None and decoded.dtype == np.uint8:
        notes.append(f"{header.bits} bits per sample reduced to 8")
    return decoded


def _decode_cmyk(data: bytes, image: Image.Image, icc: bytes, notes: list[str]) -> NDArray[Any] | None:
    """CMYK with its profile through Pillow; without, as OpenCV converts it."""
    if image.format == "JPEG":
        if scans_truncated(jpeg_scans(data)):
            return None
        data = jpeg_scans(data) + JPEG_END
        image = open_pillow(data, "JPEG")
    converted = None
    if color_space(icc) == CMYK:
        pixels_of(image)  # decodes, and raises InputError
        converted = to_srgb(image, icc)
    used = f"with {profile_name(icc)}" if converted is not None else "without a profile"
    notes.append(f"CMYK converted to sRGB {used}")
    return decode_opencv(data) if converted is None else converted


_WHITE_IS_ZERO, _CMYK, _LAB = 0, 5, (8, 9, 10)
_PHOTOMETRIC, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 262, 338, 339
_PREMULTIPLIED, _UNSIGNED = 1, (1, 4)


def _decode_tiff(
    data: bytes, header: ImageHeader, image: Image.Image | None, icc: bytes, notes: list[str]
) -> NDArray[Any] | None:
    tags = tiff_tags(data, next(iter(tiff_pages(data)), 8))
    if tags.get(_SAMPLE_FORMAT, 1) not in _UNSIGNED or header.bits > 16:
        kind = "floating-point" if tags.get(_SAMPLE_FORMAT) == 3 else "signed" if header.bits <= 16 else "integer"
        raise InputError(f"has {header.bits}-bit {kind} samples; convert it to unsigned 8 or 16 bits")
    photometric = tags.get(_PHOTOMETRIC, 2)
    if photometric == _CMYK and image is not None:
        if header.bits > 8:
            notes.append(f"{header.bits} bits per sample reduced to 8")
        return _decode_cmyk(data, image, icc, notes)
    if photometric in _LAB:
        return _decode_lab(image, icc, notes)
    if header.bits > 8:
        decoded = decode_opencv(data, unchanged=True)
        if decoded is not None and photometric == _WHITE_IS_ZERO and decoded.ndim == 2:
            decoded = ~decoded
        return _unmultiplied(decoded) if tags.get(_EXTRA_SAMPLES) == _PREMULTIPLIED else decoded
    if header.alpha and image is not None:
        return pixels_of(image)
    return decode_opencv(data)


def _decode_lab(image: Image.Image | None, icc: bytes, notes: list[str]) -> NDArray[Any]:
    converted = None
    if image is not None and image.mode == "LAB":
        pixels_of(image)  # decodes, and raises InputError
        converted = to_srgb(image, icc if color_space(icc) == LAB else b"")
    if converted is None:
        raise InputError("has L*a*b* colors of a layout that is not supported; convert it to RGB")
    notes.append("L*a*b* colors converted to sRGB")
    return converted


def _unmultiplied(decoded: NDArray[Any] | None) -> NDArray[Any] | None:
    """Divide the colors of (H, W, 4) uint16 by the opacity."""
    if decoded is None or decoded.ndim == 2 or decoded.shape[2] != 4:
        return decoded
    alpha = np.maximum(decoded[:, :, 3:], 1).astype(np.float32)
    colors = np.clip(np.rint(decoded[:, :, :3] * (65_535 / alpha)), 0, 65_535).astype(np.uint16)
    return np.dstack([colors, decoded[:, :, 3]])
