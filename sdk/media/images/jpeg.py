"""Decoding of JPEGs, without accepting truncated ones, whose missing part decoders fill in silence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....engines.errors import InputError
from .header import ImageHeader, jpeg_end
from .opencv import decode_opencv
from .pillow import open_pillow, pixels_of

_BLOCK, _MIDDLE_GRAY = 8, 128
_LUMA_BGR = np.array([0.114, 0.587, 0.299])
JPEG_END = b"\xff\xd9"
# Codes of any Huffman table: all short patterns of bits, and no 0xFF, which would be a marker.
_FILLER = np.random.default_rng(0).integers(0, 255, 4096, dtype=np.uint8).tobytes()


def decode_jpeg(data: bytes, header: ImageHeader) -> NDArray[Any] | None:
    """Decode a JPEG whose compressed data is complete; its end marker may be missing.

    Where data is missing, decoders put middle grey, 128. If the last block has it, or the file has several scans or no
    end marker, the image is decoded again with other data after its end, which changes the missing part only. Pillow
    decodes these, because OpenCV's libjpeg prints its warnings.

    Args:
        data: the whole file.
        header: of it.

    Returns:
        (H, W, 3) uint8 BGR as stored, before rotation; None if data is missing or damaged.
    """
    if header.complete and not header.progressive:
        pixels = decode_opencv(data)
        if pixels is None or (_gray_end(pixels) and scans_truncated(jpeg_scans(data), reduced=True)):
            return None
        return pixels
    scans = jpeg_scans(data)
    whole, filled = (_decoded(part + JPEG_END) for part in (scans, scans + _FILLER))
    return whole if whole is not None and filled is not None and np.array_equal(whole, filled) else None


def scans_truncated(scans: bytes, *, reduced: bool = False) -> bool:
    """Whether other data after the end of a JPEG's compressed data changes the image.

    Args:
        scans: as from `jpeg_scans`.
        reduced: compare luma at 1/8 of the size, in a third of the time each; for one scan only.
    """
    whole, filled = (_decoded(part + JPEG_END, reduced) for part in (scans, scans + _FILLER))
    return whole is None or filled is None or not np.array_equal(whole, filled)


def jpeg_scans(data: bytes) -> bytes:
    """A JPEG without its end marker and what follows."""
    end = jpeg_end(data)
    return (data[:end] if end >= 0 else data).rstrip(b"\xff")


def _decoded(data: bytes, reduced: bool = False) -> NDArray[Any] | None:
    try:
        image = open_pillow(data, "JPEG")
        if reduced:
            image.draft("L", (max(1, image.width // 8), max(1, image.height // 8)))
        return pixels_of(image)
    except InputError:
        return None


def _gray_end(pixels: NDArray[Any]) -> bool:
    """Whether the luma of the last block is middle grey; color is interpolated with the neighboring blocks."""
    height, width = ((side - 1) % _BLOCK + 1 for side in pixels.shape[:2])
    luma = pixels[-height:, -width:] @ _LUMA_BGR
    return bool((np.abs(luma - _MIDDLE_GRAY) < 2).all())
