"""Stage 2: crop a square window around each face, on the pixel grid of the frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...engines.padding import copy_window
from ...engines.postprocess import Detections

MARGIN = 1.5
"""Minimum ratio of the window's side to the longer side of the face box."""


@dataclass(frozen=True)
class Window:
    """A square of the frame, in pixels. It reaches past the edges of a frame that is smaller."""

    x: int  # left column
    y: int  # top row
    side: int

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        return self.x, self.y, self.x + self.side, self.y + self.side


@dataclass(frozen=True, eq=False)
class Crops:
    """A batch of crops of one size."""

    indices: tuple[int, ...]  # of their detections
    windows: tuple[Window, ...]
    pixels: NDArray[np.uint8]  # (n, S, S, 3) BGR, copied from the frame


def windows_for(
    detections: Detections, frame_shape: tuple[int, ...], sides: tuple[int, ...]
) -> tuple[dict[int, Window], list[int]]:
    """Choose a window for each face.

    Args:
        detections: faces of the frame.
        frame_shape: (H, W, ...).
        sides: crop sizes of the engine, pixels.

    Returns:
        Index of the detection -> window; and the indices of the faces that are too large for every side.
    """
    frame_wh = frame_shape[1], frame_shape[0]
    windows = [window_for(box, frame_wh, sides) for box in detections.boxes_xyxy]
    too_large = [index for index, window in enumerate(windows) if window is None]
    return {index: window for index, window in enumerate(windows) if window is not None}, too_large


def window_for(box_xyxy: NDArray[np.float32], frame_wh: tuple[int, int], sides: tuple[int, ...]) -> Window | None:
    """Choose the smallest window that holds a face box with `MARGIN`, shifted into the frame.

    Args:
        box_xyxy: (4,) in frame pixels.
        frame_wh: width and height of the frame, pixels.
        sides: crop sizes of the engine, pixels.

    Returns:
        The window; None if the face is too large for every side.
    """
    left, top, right, bottom = (float(v) for v in box_xyxy)
    min_side = MARGIN * max(right - left, bottom - top)
    side = min((s for s in sides if s >= min_side), default=None)
    if side is None:
        return None
    return centered_window((left + right) / 2, (top + bottom) / 2, side, frame_wh)


def centered_window(x: float, y: float, side: int, frame_wh: tuple[int, int]) -> Window:
    """The window of a side around a point, shifted into the frame.

    Args:
        x, y: in frame pixels.
        side: of the window, pixels.
        frame_wh: width and height of the frame, pixels.
    """
    return Window(_start(x, side, frame_wh[0]), _start(y, side, frame_wh[1]), side)


def _start(center: float, side: int, length: int) -> int:
    """First pixel of a window around a center, within 0..length; a frame smaller than the window is centered in it."""
    if length < side:
        return (length - side) // 2
    return min(max(round(center - side / 2), 0), length - side)


def group_by_side(windows: dict[int, Window]) -> list[tuple[int, dict[int, Window]]]:
    """Side and windows of each batch, smallest side first."""
    sides = sorted({window.side for window in windows.values()})
    return [(side, {i: window for i, window in windows.items() if window.side == side}) for side in sides]


def crops_of(frame: NDArray[np.uint8], windows: dict[int, Window]) -> list[Crops]:
    """Copy windows out of a frame, one batch for each side.

    Args:
        frame: (H, W, 3) uint8 BGR.
        windows: index of the detection -> window.
    """
    batches = []
    for side, group in group_by_side(windows):
        pixels = np.empty((len(group), side, side, 3), np.uint8)
        for window, crop in zip(group.values(), pixels, strict=True):
            copy_window(frame, window.x, window.y, crop)
        batches.append(Crops(tuple(group), tuple(group.values()), pixels))
    return batches
