"""The second stage: detections -> crops on the frame's own pixel grid."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.postprocess import Detections

MARGIN = 1.5
"""A window's side is at least this many times the face box's longer side."""


@dataclass(frozen=True)
class Window:
    """A square of the frame. Where the frame is smaller than the window it reaches past the frame's edges.

    Args:
        x: left column.
        y: top row.
        side: columns and rows.
    """

    x: int
    y: int
    side: int

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        return self.x, self.y, self.x + self.side, self.y + self.side


@dataclass(frozen=True, eq=False)
class Crops:
    """The crops of one size, to be super-resolved in one call.

    Args:
        indices: which detection each belongs to.
        windows: where each lies in the frame.
        pixels: (n, S, S, 3) uint8 BGR, a copy of the frame's pixels.
    """

    indices: tuple[int, ...]
    windows: tuple[Window, ...]
    pixels: NDArray[np.uint8]


def windows_for(
    found: Detections, frame_shape: tuple[int, ...], sides: tuple[int, ...]
) -> tuple[dict[int, Window], list[int]]:
    """Choose each face's window.

    Args:
        found: faces of the frame.
        frame_shape: (H, W, ...).
        sides: the sides that the engine takes.

    Returns:
        Index of the detection -> window; and the indices of the faces that are too large for all sides.
    """
    chosen = [window_for(box, (frame_shape[1], frame_shape[0]), sides) for box in found.boxes_xyxy]
    fitting = {i: window for i, window in enumerate(chosen) if window is not None}
    return fitting, [i for i, window in enumerate(chosen) if window is None]


def crops_of(frame: NDArray[np.uint8], windows: dict[int, Window]) -> list[Crops]:
    """Copy the windows out of a frame, one batch for each side.

    Args:
        frame: (H, W, 3) uint8 BGR.
        windows: index of the detection -> window.
    """
    batches = []
    for side, members in by_side(windows):
        pixels = np.empty((len(members), side, side, 3), np.uint8)
        for window, crop in zip(members.values(), pixels, strict=True):
            _cut(frame, window, crop)
        batches.append(Crops(tuple(members), tuple(members.values()), pixels))
    return batches


def by_side(windows: dict[int, Window]) -> list[tuple[int, dict[int, Window]]]:
    """Side and windows of each batch, the smallest first."""
    sides = sorted({window.side for window in windows.values()})
    return [(side, {i: window for i, window in windows.items() if window.side == side}) for side in sides]


def window_for(box_xyxy: NDArray[np.float32], frame_wh: tuple[int, int], sides: tuple[int, ...]) -> Window | None:
    """Choose the window of one face: the smallest side that holds its box with a margin, shifted to lie in the frame.

    Args:
        box_xyxy: (4,) in frame pixels.
        frame_wh: width and height of the frame.
        sides: the sides that the engine takes.

    Returns:
        The window; none if the face is too large for all of them.
    """
    left, top, right, bottom = (float(v) for v in box_xyxy)
    needed = MARGIN * max(right - left, bottom - top)
    side = min((s for s in sides if s >= needed), default=None)
    if side is None:
        return None
    x = _place((left + right) / 2, side, frame_wh[0])
    y = _place((top + bottom) / 2, side, frame_wh[1])
    return Window(x, y, side)


def _place(centre: float, side: int, length: int) -> int:
    """First pixel of a window around a centre, inside of 0..length; centred on a frame that is smaller."""
    if length < side:
        return (length - side) // 2
    return min(max(round(centre - side / 2), 0), length - side)


def _cut(frame: NDArray[np.uint8], window: Window, out: NDArray[np.uint8]) -> None:
    """Copy one window into `out`; what lies outside of the frame repeats its edge."""
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = window.xyxy
    left, top, right, bottom = max(-x0, 0), max(-y0, 0), max(x1 - width, 0), max(y1 - height, 0)
    inside = frame[y0 + top : y1 - bottom, x0 + left : x1 - right]
    if left or top or right or bottom:
        out[:] = cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REPLICATE)
    else:
        out[:] = inside
