"""A frame: the pixels of an image or a video at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engines.errors import InputError


@dataclass(frozen=True)
class ImageMetadata:
    """Metadata blocks of an image file, as stored; b"" where there is none.

    Args:
        icc: ICC color profile of the pixels.
        exif: EXIF, without the prefix "Exif\\0\\0".
        xmp: XMP packet, UTF-8.
        dpi: horizontal and vertical resolution in dots per inch; None if unknown.
    """

    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Frame:
    """An image, or one frame of a video.

    Args:
        pixels: (H, W, 3) uint8 BGR.
        index: position in its source, from 0.
        time_s: presentation time in seconds; 0 for an image.
        name: file name of an image, which outputs in a folder reuse; "" in a video.
        pts: presentation timestamp of the video, in units of `time_base`.
        time_base: seconds per unit of `pts`.
        duration: how long the frame is shown, in units of `time_base`; None if unknown.
        alpha: (H, W) opacity, uint8 or uint16; None if opaque.
        deep: (H, W, 3) uint16 BGR, 0 to 65,535, if the source has more than 8 bits per sample: `pixels` has the upper
            8 bits; else None.
        metadata: color profile and tags of an image.
        damaged: the decoder concealed damage in this frame, or in one that it was predicted from.
        arrival_s: when a frame of a live source was decoded, in seconds of `time.monotonic`; else None.
        clock_s: when the camera took the frame by its own clock, in seconds since 1970 (UTC); None if it does not tell.

    `alpha`, `deep`, `duration` and `metadata` pass the networks by: sinks write them with the composite.

    Raises:
        InputError: pixels of another shape or dtype.
    """

    pixels: NDArray[np.uint8]
    index: int = 0
    time_s: float = 0.0
    name: str = ""
    pts: int | None = None
    time_base: Fraction | None = None
    duration: int | None = None
    alpha: NDArray[np.uint8] | NDArray[np.uint16] | None = None
    deep: NDArray[np.uint16] | None = None
    metadata: ImageMetadata | None = None
    damaged: bool = False
    arrival_s: float | None = None
    clock_s: float | None = None

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise InputError(
                f"expected a frame of (H, W, 3) uint8 BGR, got {self.pixels.shape} {self.pixels.dtype}; "
                "convert it with bgr_from"
            )


def bgr_from(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert an image to (H, W, 3) uint8 BGR, without a copy if it has this layout.

    Args:
        pixels: (H, W) or (H, W, 1) grey, (H, W, 3) BGR, or (H, W, 4) BGRA (alpha is dropped), uint8; or uint16, of
            which the upper eight bits are kept.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        InputError: another shape or dtype, or no pixels.
    """
    try:
        pixels = np.asarray(pixels)
    except ValueError as error:  # nested lists of different lengths
        raise InputError("expected an image of (H, W, 3) uint8 BGR, got rows of different lengths") from error
    if pixels.size == 0 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)):
        raise InputError(f"expected an image of (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {pixels.shape}")
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise InputError(f"expected uint8 pixels, 0 to 255, got {pixels.dtype}; convert them first")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    return pixels[:, :, :3]
