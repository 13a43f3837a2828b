"""Crop windows that stay where they are while their face does, so that the pixels of a still face are steady."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...pipeline.crop import Window, centered_window, window_for

KEEP_MARGIN = 1.3
"""Minimum margin around the box for a window to stay. A new window has `crop.MARGIN`, 1.5: the face can move by a tenth
of its size, or grow by 15 %, before the window changes."""
SHRINK_MARGIN = 1.7
"""Minimum margin in the next smaller window for it to be taken. The shipped detector's boxes of a still face under
camera noise vary by 1 to 2 % of their side (standard deviation): a size between the two limits is kept."""


def stable_window(
    previous: Window | None, box_xyxy: NDArray[np.float32], frame_wh: tuple[int, int], sides: tuple[int, ...]
) -> Window | None:
    """Keep the window of a track while it holds the face, else choose another.

    Args:
        previous: window of the track in the frame before; None for none.
        box_xyxy: (4,) of the face, frame pixels.
        frame_wh: width and height of the frame, pixels.
        sides: crop sizes of the engine, pixels.

    Returns:
        A window that holds the box with `KEEP_MARGIN`, shifted into the frame; None if the face is too large.
    """
    if previous is None or previous.side not in sides:
        return window_for(box_xyxy, frame_wh, sides)
    length = float((box_xyxy[2:] - box_xyxy[:2]).max())
    smaller = max((side for side in sides if side < previous.side), default=0)
    if previous.side < KEEP_MARGIN * length or smaller >= SHRINK_MARGIN * length:
        return window_for(box_xyxy, frame_wh, sides)
    x, y = ((box_xyxy[:2] + box_xyxy[2:]) / 2).tolist()
    reach, (width, height) = KEEP_MARGIN * length / 2, frame_wh
    side = previous.side
    if _holds(previous.x, side, x, reach, width) and _holds(previous.y, side, y, reach, height):
        return previous
    return window_for(box_xyxy, frame_wh, sides) or centered_window(x, y, side, frame_wh)


def _holds(start: int, side: int, center: float, reach: float, length: int) -> bool:
    """Whether a window is in the frame along one axis and holds `reach` pixels on both sides of a center there."""
    low, high = max(center - reach, 0), min(center + reach, length)
    in_frame = 0 <= start <= length - side or start == (length - side) // 2 < 0
    return in_frame and start <= low and high <= start + side
