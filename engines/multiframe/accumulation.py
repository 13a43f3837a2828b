"""Samples of earlier crops on the grid of the upscaled face: what several frames of a face add to the newest one.

Each pixel of an earlier crop is a sample of the face at a sub-pixel position. It falls into one cell of the grid of the
upscaled face, where it is compared with the bicubic enlargement of the newest crop. The mean difference of a cell's
samples and their weight are the inputs of a multi-frame network, the cells of a pixel side by side as channels.

Source of the accumulation of shifted samples on a finer grid: A. Fruchter and R. Hook, "Drizzle: a method for the
linear reconstruction of undersampled images", 2002.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from .registration import Affine, Gray

OUTLIER_LEVELS = 16.0
"""Difference in gray levels, root mean square over 3×3 samples, at which a sample has half of its weight: a hand in
front of a face, a closed eye or another face differ more than noise and compression do."""
HALF_WEIGHT = 1.0
"""Sum of weights that makes a weight of a half."""


def channels(scale: int) -> int:
    """Channels of the input: a difference and a weight for each cell of a pixel."""
    return 2 * scale * scale


def accumulate(
    newest: Gray, earlier: Sequence[tuple[Gray, Affine]], scale: int, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Lay the pixels of earlier crops on the grid of the upscaled face.

    Args:
        newest: (S, S) gray levels.
        earlier: crops of the same face, (s, s) gray levels of any side, and the motions from their positions to those
            of the newest crop.
        scale: k, cells per pixel on both axes.
        out: array for the result.

    Returns:
        (2·k², S, S) float32. First the mean differences from the bicubic enlargement of the newest crop, in fractions of
        255, then the weights, 0 (no sample) to 1. Channel k·row + column is that cell of each pixel.
    """
    side = newest.shape[0]
    planes = np.zeros((channels(scale), side, side), np.float32) if out is None else out
    if not earlier:
        planes[:] = 0
        return planes
    size, total = scale * side, scale * scale * side * side
    enlarged = cv2.resize(newest, (size, size), interpolation=cv2.INTER_CUBIC).ravel()
    column, order = _axis(size, scale)
    cells, differences, weights = [], [], []
    for gray, motion in earlier:
        x, y = _cells(gray.shape[0], motion, scale)
        inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
        x, y = np.where(inside, x, 0), np.where(inside, y, 0)
        difference = gray.ravel() - enlarged[y * size + x]
        difference[~inside] = 0
        squared = cv2.blur(np.square(difference).reshape(gray.shape), (3, 3)).ravel()
        weight = inside / (1 + np.square(squared * np.float32(1 / OUTLIER_LEVELS**2)))
        cells.append(order[y] + column[x])
        differences.append(difference * weight)
        weights.append(weight)
    cell = np.concatenate(cells)
    weight_sum = np.bincount(cell, np.concatenate(weights), total)
    difference_sum = np.bincount(cell, np.concatenate(differences), total)
    half = len(planes) // 2
    planes[:half] = (difference_sum / (255 * np.maximum(weight_sum, 1e-3))).reshape(half, side, side)
    planes[half:] = (weight_sum / (weight_sum + HALF_WEIGHT)).reshape(half, side, side)
    return planes


def _cells(side: int, motion: Affine, scale: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Column and row of the cell of each pixel of a crop, (s·s,)."""
    position = np.arange(side, dtype=np.float32)
    a, b, c, d, e, f = (np.float32(scale * value) for value in motion)
    half = np.float32(scale / 2)
    x = (b * position + (c + half))[:, None] + a * position
    y = (e * position + (f + half))[:, None] + d * position
    return np.floor(x).astype(np.int32).ravel(), np.floor(y).astype(np.int32).ravel()


@lru_cache(maxsize=32)
def _axis(size: int, scale: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Parts of the flat index of a cell in (k², S, S): of its column, and of its row, (k·S,) each."""
    side = size // scale
    cell = np.arange(size, dtype=np.int32)
    inner, outer = cell % scale, cell // scale
    return inner * side * side + outer, inner * scale * side * side + outer * side
