"""Pictures of a video whose size is fixed, made of frames whose size changes."""

from __future__ import annotations

import logging

import cv2
import numpy as np
from numpy.typing import NDArray

_logger = logging.getLogger(__name__)


class FixedSize:
    """Gives all pictures the size of the first, see `letterbox`; other sizes are logged when they change.

    Args:
        name: of the output, for messages.

    Attributes:
        size_wh: width and height in pixels; None before the first picture.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.size_wh: tuple[int, int] | None = None
        self._last_wh: tuple[int, int] | None = None

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR of the fixed size."""
        size_wh = int(pixels.shape[1]), int(pixels.shape[0])
        if self.size_wh is None:
            self.size_wh = self._last_wh = size_wh
        if size_wh != self._last_wh:
            _logger.warning("%s: frames of %dx%d are scaled to %dx%d", self._name, *size_wh, *self.size_wh)
            self._last_wh = size_wh
        return letterbox(pixels, self.size_wh)


def letterbox(pixels: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale a picture to fit into a size, centered on black; the picture itself if it has that size.

    Args:
        pixels: (H, W, 3) uint8 BGR.
        size_wh: width and height in pixels.

    Returns:
        (height, width, 3) uint8 BGR.
    """
    height, width = pixels.shape[:2]
    if (width, height) == size_wh:
        return pixels
    ratio = min(size_wh[0] / width, size_wh[1] / height)
    inner = max(1, round(ratio * width)), max(1, round(ratio * height))
    scaled = cv2.resize(pixels, inner, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR)
    left, top = (size_wh[0] - inner[0]) // 2, (size_wh[1] - inner[1]) // 2
    picture = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    picture[top : top + inner[1], left : left + inner[0]] = scaled
    return picture
