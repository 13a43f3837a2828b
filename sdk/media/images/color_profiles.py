"""ICC profiles: conversion to sRGB where a profile cannot stay with the pixels."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

RGB, GRAY, CMYK, LAB = b"RGB ", b"GRAY", b"CMYK", b"Lab "
# Exact curves: the optimized conversion of dark grey levels is off by up to 9.
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
_EXACT = _FLAGS | ImageCms.Flags.NOOPTIMIZE
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC


def color_space(icc: bytes) -> bytes:
    """Color space signature of a profile: `RGB`, `GRAY`, `CMYK` or another; b"" if it is not a profile."""
    return icc[16:20] if len(icc) >= 128 and icc[36:40] == b"acsp" else b""


def profile_name(icc: bytes) -> str:
    """Name of a profile in one line, e.g. "Adobe RGB (1998)"."""
    try:
        name = ImageCms.getProfileDescription(ImageCms.getOpenProfile(io.BytesIO(icc)))
    except (ImageCms.PyCMSError, OSError):
        return "an unnamed profile"
    return " ".join(name.split()) or "an unnamed profile"


def to_srgb(image: Image.Image, icc: bytes, flags: ImageCms.Flags = _FLAGS) -> NDArray[np.uint8] | None:
    """Convert an image of 8 bits per sample to sRGB.

    Args:
        image: of mode RGB, CMYK or LAB.
        icc: its profile; b"" for CIE L*a*b* D50.
        flags: of the color management system.

    Returns:
        (H, W, 3) uint8 BGR; None if the profile cannot be used.
    """
    try:
        source: Any = ImageCms.getOpenProfile(io.BytesIO(icc)) if icc else ImageCms.createProfile("LAB")
        srgb = ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, source, srgb, _INTENT, "RGB", flags=flags) or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])


def bgr_to_srgb(pixels: NDArray[Any], icc: bytes) -> NDArray[np.uint8] | None:
    """Convert (H, W, 3) uint8 BGR with a profile to sRGB; None if the profile cannot be used."""
    return to_srgb(Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)), icc)


def gray_to_srgb(gray: NDArray[Any], icc: bytes) -> NDArray[Any] | None:
    """Convert grey levels with a grey profile to sRGB, through the profile's curve at 256 levels.

    Args:
        gray: (H, W) uint8 or uint16.
        icc: grey profile.

    Returns:
        (H, W, 3) BGR of the same type; None if the profile cannot be used.
    """
    ramp = to_srgb(Image.fromarray(np.arange(256, dtype=np.uint8)[None]), icc, _EXACT)
    if ramp is None:
        return None
    if gray.dtype == np.uint8:
        return cv2.merge([cv2.LUT(gray, np.ascontiguousarray(ramp[0, :, channel])) for channel in range(3)])
    levels = np.arange(65_536)
    curves = [np.interp(levels, np.arange(256) * 257, ramp[0, :, channel] * 257.0) for channel in range(3)]
    return np.dstack([np.rint(curve).astype(np.uint16)[gray] for curve in curves])
