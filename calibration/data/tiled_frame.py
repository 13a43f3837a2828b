"""A frame filled with pictures: what a detector is timed on where there are pictures but no camera."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

ROW_HEIGHT = 180
"""Rows are about so high, in pixels."""


def tiled_frame(pictures: Sequence[NDArray[np.uint8]], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Lay pictures side by side in rows until a frame is full; the last of each row is cut off.

    Args:
        pictures: (h, w, 3) uint8 BGR of any sizes, at least one; taken again from the first when they are used up.
        size_wh: of the frame, in pixels.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    width, height = size_wh
    frame = np.empty((height, width, 3), np.uint8)
    count = max(1, round(height / ROW_HEIGHT))
    edges = [height * row // count for row in range(count + 1)]
    following = cycle(pictures)
    for top, bottom in pairwise(edges):
        x = 0
        while x < width:
            piece = _of_height(next(following), bottom - top)[:, : width - x]
            frame[top:bottom, x : x + piece.shape[1]] = piece
            x += piece.shape[1]
    return frame


def _of_height(picture: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    scale = height / picture.shape[0]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    size = (max(1, round(picture.shape[1] * scale)), height)
    return np.asarray(cv2.resize(picture, size, interpolation=method), np.uint8)
