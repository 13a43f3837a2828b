"""OpenCV's image codecs: the fast path of decoding and encoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def decode_opencv(data: bytes, *, unchanged: bool = False, reduced: bool = False) -> NDArray[Any] | None:
    """Decode an image from memory, because imread fails on non-ASCII names on some systems.

    Args:
        data: the whole file.
        unchanged: keep grey, opacity and 16 bits; else (H, W, 3) uint8 BGR.
        reduced: at 1/8 of the size, which for JPEG takes a third of the time.

    Returns:
        Pixels as stored, before EXIF rotation; None if the image is damaged.
    """
    color = cv2.IMREAD_REDUCED_COLOR_8 if reduced else cv2.IMREAD_COLOR
    flags = cv2.IMREAD_UNCHANGED if unchanged else color | cv2.IMREAD_IGNORE_ORIENTATION
    with _silent():
        try:
            return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:
            return None


def encode_opencv(suffix: str, pixels: NDArray[Any], parameters: Sequence[int]) -> bytes | None:
    """Encode an image; None if the format cannot store it."""
    try:
        with _silent():
            encoded, data = cv2.imencode(suffix, pixels, parameters)
    except cv2.error:
        return None
    return data.tobytes() if encoded else None


def jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """A JPEG file of (H, W, 3) uint8 BGR pixels, of a quality of 1 to 100."""
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of (H, W, 3) uint8 BGR pixels."""
    return cv2.imencode(".png", pixels)[1].tobytes()


@contextmanager
def _silent() -> Iterator[None]:
    """Suppress OpenCV's own log messages, which would repeat the raised error."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
