"""Padding: crops for super-resolution repeat the edge of the frame, inputs of a detector are padded with grey.

Crops: `copy_window`, `pad_edge`. An artificial border would be upscaled as detail. The GPU kernels `gather_bgr` and
`gather_nv12` are equivalent to `copy_window`.

Detector inputs: `pad_grey`, `fill_grey`. The border of the constant `GREY` is on the right and at the
bottom, so that box coordinates are unaffected. The GPU kernel `fill_cells` is equivalent.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .bundle.io_spec import IOSpec

GREY = 114
"""Value of all three channels, as YOLO letterboxes have it."""


def copy_window(frame: NDArray[np.uint8], x: int, y: int, out: NDArray[np.uint8]) -> None:
    """Copy a square window of a frame; outside the frame the nearest edge pixel is repeated.

    Args:
        frame: (H, W, 3) uint8 BGR.
        x, y: left column and top row of the window; may be negative.
        out: (S, S, 3) uint8, filled.
    """
    (height, width), side = frame.shape[:2], out.shape[0]
    left, top, right, bottom = max(-x, 0), max(-y, 0), max(x + side - width, 0), max(y + side - height, 0)
    inside = frame[y + top : y + side - bottom, x + left : x + side - right]
    if left or top or right or bottom:
        inside = np.asarray(cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8)
    out[:] = inside


def pad_edge(crops: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Pad crops on the right and at the bottom by repeating their edge.

    Args:
        crops: (N, h, w, 3) uint8 BGR, h and w at most `side`.
        side: height and width of the result, pixels.

    Returns:
        (N, side, side, 3) uint8; `crops` itself if it has this size.
    """
    height, width = crops.shape[1:3]
    if (height, width) == (side, side):
        return crops
    return np.pad(crops, ((0, 0), (0, side - height), (0, side - width), (0, 0)), mode="edge")


def pad_grey(image: NDArray[np.uint8], io_spec: IOSpec, buffer: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Pad an image with grey to a size that a detector takes.

    Args:
        image: (H, W, 3) uint8 BGR.
        io_spec: of the detector.
        buffer: result of an earlier call; reused if its size fits.

    Returns:
        (H', W', 3) uint8 with the image at the top left; `image` itself if no padding is needed.
    """
    height, width = io_spec.padded_hw(*image.shape[:2])
    if image.shape[:2] == (height, width):
        return image
    if buffer is None or buffer.shape[:2] != (height, width):
        buffer = np.empty((height, width, 3), np.uint8)
    fill_grey(buffer, image.shape[0], image.shape[1])[:] = image
    return buffer


def fill_grey(buffer: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Fill a buffer with grey except for the top left (height, width), and return a view of that part."""
    buffer[height:] = GREY
    buffer[:height, width:] = GREY
    return buffer[:height, :width]
