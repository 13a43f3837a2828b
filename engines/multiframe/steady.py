"""Steady faces: a share of the face of the frame before, moved with it.

Noise, compression and the network change from frame to frame, the face does not. The mean over frames is nearer to the
truth, too. Brightness and tint are always those of the new face.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .accumulation import OUTLIER_LEVELS
from .history import History
from .registration import compose, inverse

SHARE = 0.6
"""Share of the face before where the crops agree. With 0.5 and 0.7 a face that moves flickers 45 and 36 % as much as
one of single frames on clean frames, 64 and 58 % behind H.264 at crf 23; with 0.7 clean frames have 0.1 dB less."""
OUTSIDE = -1e3
"""Gray level outside of the crop before: it agrees with nothing."""
CONTRAST_SHARE = 0.5
"""Difference at which the share is halved, relative to the contrast of the crop: a dark face changes by few levels."""
TINT_CELL = 4
"""Side in crop pixels of the cells in which the face before gets the mean of the new one."""


def steadied(pixels: NDArray[np.uint8], history: History, before: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mix a face with that of the frame before.

    Where the crops of both frames differ, as at an eye that closes, the new face is kept.

    Args:
        pixels: (k·S, k·S, 3) uint8 BGR, the upscaled face.
        history: of its crop, whose last crop but one is that of the frame before.
        before: (k·s, k·s, 3) uint8 BGR, the face that was shown in the frame before.

    Returns:
        (k·S, k·S, 3) uint8 BGR.
    """
    newest, last = history.crops[-1], history.crops[-2]
    side, size = newest.gray.shape[0], pixels.shape[0]
    scale = size / side
    matrix = np.array(compose(inverse(newest.to_key), last.to_key)).reshape(2, 3)
    moved_gray = cv2.warpAffine(last.gray, matrix, (side, side), borderValue=(OUTSIDE,))
    squared = cv2.blur(np.square(newest.gray - moved_gray), (3, 3))
    levels = min(OUTLIER_LEVELS, CONTRAST_SHARE * float(newest.gray.std()) + 1)
    share = np.float32(SHARE) / (1 + np.square(squared * np.float32(levels**-2)))
    share = cv2.resize(share, (size, size), interpolation=cv2.INTER_LINEAR)
    matrix[:, 2] = scale * matrix[:, 2] + (scale - 1) / 2 * (1 - matrix[:, :2].sum(1))
    moved = np.asarray(cv2.warpAffine(before, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    return np.asarray(cv2.blendLinear(_tinted(moved, pixels, side // TINT_CELL), pixels, share, 1 - share), np.uint8)


def _tinted(moved: NDArray[np.uint8], pixels: NDArray[np.uint8], cells: int) -> NDArray[np.uint8]:
    """A face with the mean colors of another one in a grid of cells."""
    size = pixels.shape[0]
    old, new = (cv2.resize(part, (cells, cells), interpolation=cv2.INTER_AREA) for part in (moved, pixels))
    change = cv2.subtract(new, old, dtype=cv2.CV_16S)
    if not change.any():
        return moved
    change = cv2.resize(change, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.add(moved, change, dtype=cv2.CV_8U), np.uint8)
