"""Composites with more than 8 bits per sample, and enlarged alpha."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from ..pipeline.frame import Frame
from ..pipeline.paste import enlarge

_STRIP_ROWS = 64


def deep_composite(frame: Frame, composite: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Composite with all bits of the source.

    The result is enlarge(deep) + 257 · (composite - enlarge(pixels)): outside of faces the enlarged source, inside of
    them with the change that the network made in 8 bits.

    Args:
        frame: input frame; without `deep`, its pixels are widened.
        composite: (k·H, k·W, 3) uint8 BGR, k = 1, 2, …

    Returns:
        (k·H, k·W, 3) uint16 BGR, 0 to 65,535.
    """
    if frame.deep is None:
        widened: NDArray[np.uint16] = np.multiply(composite, np.uint16(257), dtype=np.uint16)
        return widened
    size = (composite.shape[1], composite.shape[0])
    result = np.asarray(resize_cubic(frame.deep, size), np.uint16)
    enlarged = enlarge(frame.pixels, size[0] // frame.pixels.shape[1])
    for top in range(0, size[1], _STRIP_ROWS):  # in strips, so that the differences take little memory
        rows = slice(top, top + _STRIP_ROWS)
        target = result[rows]
        for change, apply in (
            (cv2.subtract(composite[rows], enlarged[rows]), cv2.add),
            (cv2.subtract(enlarged[rows], composite[rows]), cv2.subtract),
        ):
            if change.any():
                apply(target, np.multiply(change, np.uint16(257), dtype=np.uint16), dst=target)
    return result


def resize_cubic(plane: NDArray[Any], size_wh: tuple[int, int]) -> NDArray[Any]:
    """Enlarge samples of any depth as `enlarge` does, e.g. alpha (H, W) or colors (H, W, 3), uint8 or uint16.

    Returns:
        A copy, also where the size is the same.
    """
    if (plane.shape[1], plane.shape[0]) == size_wh:
        return np.array(plane)
    return cast(NDArray[Any], cv2.resize(plane, size_wh, interpolation=cv2.INTER_CUBIC))
