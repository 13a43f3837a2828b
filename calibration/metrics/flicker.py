"""Flicker: how much an upscaled face changes from one frame to the next, after its motion is taken out."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.multiframe.registration import IDENTITY, Affine, compose, inverse, luma

MARGIN = 2
"""Crop pixels at the edges that are not compared."""


def flicker(before: NDArray[np.uint8], after: NDArray[np.uint8], scale: int, motion: Affine = IDENTITY) -> float:
    """Change of the luma of a face between two consecutive frames, along its motion.

    It contains noise and compression that are left in the faces, detail that a network makes of them, changes of light
    and expression, and errors of the motion; with a motion, also those of the interpolation. A blurred face has little
    flicker: state it beside the PSNR.

    Args:
        before, after: (k·S, k·S, 3) and (k·s, k·s, 3) uint8 BGR, upscaled crops of consecutive frames.
        scale: k.
        motion: positions in the first crop -> in the second, crop pixels.

    Returns:
        Root mean square in gray levels, over the pixels that both show; nan if there are none.
    """
    one, two = luma(before), luma(after)
    to_crop = (1 / scale, 0.0, (1 / scale - 1) / 2, 0.0, 1 / scale, (1 / scale - 1) / 2)
    matrix = compose(inverse(to_crop), compose(motion, to_crop))
    height, width = two.shape
    if motion != IDENTITY:
        flags = cv2.INTER_CUBIC
        one = np.asarray(cv2.warpAffine(one, np.array(matrix).reshape(2, 3), (width, height), flags=flags), np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    a, b, c, d, e, f = inverse(matrix)
    from_x, from_y = a * x + b * y + c, d * x + e * y + f
    edge = scale * MARGIN
    region = (np.minimum(from_x, from_y) >= edge) & (np.maximum(from_x, from_y) < len(before) - edge)
    region &= (np.minimum(x, y) >= edge) & (np.maximum(x, y) < height - edge)
    return float(np.sqrt(np.square(two - one)[region].mean())) if region.any() else float("nan")
