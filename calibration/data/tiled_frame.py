"""Frames tiled with images: test input for detector latency without a camera."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

ROW_HEIGHT = 180
"""Approximate height of a row, in pixels."""


def tiled_frame(images: Sequence[NDArray[np.uint8]], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Fill a frame with rows of images; the last image of each row is cropped at the right edge.

    Args:
        images: (h, w, 3) uint8 BGR of any sizes, at least one; repeated from the first when exhausted.
        size_wh: frame size in pixels.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    width, height = size_wh
    frame = np.empty((height, width, 3), np.uint8)
    rows = max(1, round(height / ROW_HEIGHT))
    image = cycle(images)
    for top, bottom in pairwise(height * row // rows for row in range(rows + 1)):
        x = 0
        while x < width:
            tile = _resized_to_height(next(image), bottom - top)[:, : width - x]
            frame[top:bottom, x : x + tile.shape[1]] = tile
            x += tile.shape[1]
    return frame


def _resized_to_height(image: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    scale = height / image.shape[0]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    size_wh = (max(1, round(image.shape[1] * scale)), height)
    return np.asarray(cv2.resize(image, size_wh, interpolation=method), np.uint8)
