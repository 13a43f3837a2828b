"""Opacity: colors under invisible pixels, and composites over a background."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_WHITE = 255


def fill_hidden(pixels: NDArray[Any], alpha: NDArray[Any]) -> None:
    """Replace the color of invisible pixels by that of the nearest visible pixel, so that it cannot bleed.

    Args:
        pixels: (H, W, 3) of any type, changed in place; unchanged if no pixel is visible.
        alpha: (H, W), 0 for invisible.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return
    _, labels = cv2.distanceTransformWithLabels(
        hidden.view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )  # hidden pixels have the label of the nearest visible pixel
    visible = ~hidden
    nearest = np.zeros(int(labels.max()) + 1, np.int64)
    nearest[labels[visible]] = np.flatnonzero(visible)
    pixels[hidden] = pixels.reshape(-1, 3)[nearest[labels[hidden]]]


def over_white(pixels: NDArray[np.uint8], alpha: NDArray[Any]) -> NDArray[np.uint8]:
    """Composite an image over white.

    Args:
        pixels: (H, W, 3) uint8.
        alpha: (H, W) uint8 or uint16.
    """
    weight = alpha.astype(np.float32) / np.iinfo(alpha.dtype).max
    white = np.full_like(pixels, _WHITE)
    return np.asarray(cv2.blendLinear(pixels, white, weight, 1 - weight), dtype=np.uint8)
