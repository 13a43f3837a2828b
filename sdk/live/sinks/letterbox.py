"""Pictures of a video whose size is fixed, made of frames whose size changes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


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
