"""Changes of a scene: comparison of strongly downscaled frames."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL_WH = (64, 36)
SAMPLES = 4
"""Samples of a frame per pixel of the thumbnail and axis, about."""
CUT = 12.0
"""Mean absolute difference in gray levels between the thumbnails of two frames above which they may show different
scenes."""
CUT_RATIO = 3.0
"""Minimum ratio of a cut's difference to that of the frame before: in a pan the differences are alike."""
MOTION = 12.0
"""Difference in gray levels above which a pixel of a thumbnail has changed; noise and compression stay below."""
BODY = 4
"""Height below a face, in sides of the face, in which its body is expected to move."""


def thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Downscale a frame (H, W, 3) to (36, 64, 3), from a subset of its pixels."""
    step_y, step_x = (max(1, frame.shape[axis] // (SAMPLES * THUMBNAIL_WH[1 - axis])) for axis in (0, 1))
    return np.asarray(cv2.resize(frame[::step_y, ::step_x], THUMBNAIL_WH, interpolation=cv2.INTER_AREA), np.uint8)


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean absolute difference of two thumbnails, gray levels."""
    return float(cv2.absdiff(a, b).mean())


def has_motion(a: NDArray[np.uint8], b: NDArray[np.uint8], explained: NDArray[np.bool_]) -> bool:
    """Whether two thumbnails differ outside of the explained pixels, (36, 64)."""
    return bool((cv2.absdiff(a, b).max(axis=2)[~explained] > MOTION).any())


def explained_by(boxes_xyxy: NDArray[np.float32], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels of a thumbnail in which known faces and their bodies may move.

    Args:
        boxes_xyxy: (N, 4) frame pixels.
        size_wh: width and height of the frame, pixels.

    Returns:
        (36, 64). At the edges of the frame except for the lower one, where other faces enter, only what the faces
        themselves cover.
    """
    explained = np.zeros(THUMBNAIL_WH[::-1], np.bool_)
    for area in ((-1, -0.5, 1, BODY), (-0.5, -0.5, 0.5, 0.5)):
        explained[:, 0] = explained[:, -1] = explained[0] = False
        sides = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).max(1, initial=0)[:, None]
        areas = boxes_xyxy + sides * np.array(area, np.float32)
        scale = np.tile(np.array(THUMBNAIL_WH, np.float32) / np.array(size_wh, np.float32), 2)
        for x0, y0, x1, y1 in np.clip(areas * scale, 0, None).astype(int).tolist():
            explained[y0 : y1 + 1, x0 : x1 + 1] = True
    return explained
