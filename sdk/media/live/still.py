"""Pictures that repeat: a camera that hangs may send the same picture for ever."""

from __future__ import annotations

from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

ROWS = 16
"""Every 16th row is compared: one through each macroblock."""


class PictureWatch:
    """Tells whether a picture repeats the one before."""

    def __init__(self) -> None:
        self._last: NDArray[np.uint8] | None = None

    def is_same(self, rows: NDArray[np.uint8]) -> bool:
        """Whether samples of a picture equal those of the one before."""
        last, self._last = self._last, rows
        return last is not None and np.array_equal(rows, last)


def plane_rows(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Samples of a decoded frame: (H / 16, bytes of a row), of the first plane: luma, or packed RGB."""
    plane = frame.planes[0]
    samples = np.frombuffer(cast(bytes, plane), np.uint8).reshape(plane.height, plane.line_size)
    return np.array(samples[ROWS // 2 :: ROWS])


def pixel_rows(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Samples of an image of (H, W, 3): (H / 16, W, 3)."""
    return np.array(pixels[ROWS // 2 :: ROWS])
