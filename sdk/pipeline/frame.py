"""A frame: pixels of a picture or a video at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engines.errors import InputError


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture, or one moment of a video.

    Args:
        pixels: (H, W, 3) uint8 BGR.
        index: position in its source, counted from 0.
        time_s: presentation time in seconds; 0 for a picture.
        name: file name of a picture, to be kept in a folder of results; "" in a video.
        pts: the video's own time stamp, in units of `time_base`.
        time_base: seconds a unit of `pts`.
    """

    pixels: NDArray[np.uint8]
    index: int = 0
    time_s: float = 0.0
    name: str = ""
    pts: int | None = None
    time_base: Fraction | None = None

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise InputError(
                f"a frame is (H, W, 3) uint8 BGR, not {self.pixels.shape} {self.pixels.dtype}; see bgr_from"
            )


def bgr_from(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring a picture to (H, W, 3) BGR without touching one that is so already.

    Args:
        pixels: (H, W) or (H, W, 1) grey, (H, W, 3) BGR, or (H, W, 4) BGRA (the alpha is dropped), uint8; or uint16,
            whose upper eight bits are kept.

    Returns:
        (H, W, 3) uint8 BGR; the same array where nothing had to change.

    Raises:
        InputError: another shape or dtype, or no pixel at all.
    """
    pixels = np.asarray(pixels)
    if pixels.size == 0 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)):
        raise InputError(f"expected a picture of (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {pixels.shape}")
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise InputError(f"expected uint8 pixels, 0 to 255, got {pixels.dtype}; convert them first")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    return pixels[:, :, :3]
