"""Reuse of an upscaled face in later frames: the network's detail is moved with the face instead of computed again.

A reused face is the bicubic enlargement of the new crop plus the detail that the network added to an earlier one, moved
by an affine motion. The motion is found by inverse compositional alignment (Baker and Matthews, "Lucas-Kanade 20 years
on", 2004) of small patches of the face, whose gradients are computed once for each run of the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...pipeline.crop import Window

PATCH = 32
"""Side of the patches that are aligned, in samples: more does not make the alignment of small faces better."""
REACH = 1.3
"""Side of a patch in face sizes."""
MAX_STEPS = 6
ENOUGH = 0.05
"""Translation of a step, in samples, after which the alignment ends."""
DAMPING = 1e-3
"""Regularization of the alignment, relative to the mean curvature: faces have parts without texture."""
SEARCH_LEVELS = 4.0
"""Change above which the face is searched further away."""
SEARCH = 6
"""Distance of that search, in samples of half the resolution: about half a face."""
MAX_SHIFT = 0.35
"""Largest motion relative to the motion of the box, in patch sides; more is a failure of the alignment."""
MAX_STRETCH = 0.25
"""Largest change of size or shape relative to the box."""
STILL_PX = 0.12
"""Motion of a face's corners in crop pixels below which it counts as still."""
STILL_LEVELS = 1.0
"""Change in gray levels, see `Alignment`, below which a still face is shown unchanged."""

Matrix = NDArray[np.float64]
_INVERSE_LINEAR = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


@dataclass(frozen=True, eq=False)
class Kept:
    """What is kept of a face that the network upscaled.

    Args:
        window: of the crop.
        pixels: (kS, kS, 3) uint8, the network's output.
        detail: (kS, kS, 3) float32, what the network added to the bicubic enlargement.
        from_patch: (2, 3), coordinates in the patch -> in the crop.
        patch: (PATCH·PATCH,) float32 gray levels.
        steepest: (6, PATCH·PATCH) float32, weighted derivatives of the patch by the parameters of the motion.
        inverse: (6, 6) inverse of their products.
        time_s: presentation time of the frame.
        box_xyxy: (4,) float32, of the face in its frame, frame pixels.
        sharpness: of the crop, see `Usability`.
        by_small: the smaller network upscaled it.
        frames: number of crops that `pixels` are made from.
    """

    window: Window
    pixels: NDArray[np.uint8]
    detail: NDArray[np.float32]
    from_patch: Matrix
    patch: NDArray[np.float32]
    steepest: NDArray[np.float32]
    inverse: Matrix
    time_s: float
    box_xyxy: NDArray[np.float32]
    sharpness: float = 1.0
    by_small: bool = False
    frames: int = 1

    @property
    def face_px(self) -> float:
        """Longer side of the face box, frame pixels."""
        return float((self.box_xyxy[2:] - self.box_xyxy[:2]).max())


class Alignment(NamedTuple):
    """How a kept face lies in a new crop.

    Args:
        to_kept: (2, 3), coordinates in the new crop -> in the kept one.
        change: root mean square difference of the aligned patches, smoothed and without a common offset, gray levels;
            inf if the alignment failed.
        still: the face neither moved in its window nor changed beyond noise.
    """

    to_kept: Matrix
    change: float
    still: bool


def keep(
    crop: NDArray[np.uint8],
    pixels: NDArray[np.uint8],
    box_xyxy: NDArray[np.float32],
    window: Window,
    time_s: float,
    sharpness: float = 1.0,
    by_small: bool = False,
    frames: int = 1,
) -> Kept:
    """Prepare a face for reuse.

    Args:
        crop: (S, S, 3) uint8 BGR.
        pixels: (kS, kS, 3) uint8 BGR, the network's output.
        box_xyxy: (4,) face box in frame pixels.
        window: of the crop in the frame.
        time_s: presentation time of the frame.
        sharpness: of the crop, see `Usability`.
        by_small: the smaller network upscaled it.
        frames: number of crops that `pixels` are made from.
    """
    from_patch = _patch_matrix(box_xyxy, window)
    patch = _patch(_gray(crop), from_patch)
    steepest = _derivatives(patch) * _weights().ravel()
    products = steepest.astype(np.float64) @ _derivatives(patch).T
    products += np.eye(6) * (DAMPING * np.trace(products) / 6 + 1e-9)
    enlarged = cv2.resize(crop, pixels.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    detail = np.asarray(cv2.subtract(pixels, enlarged, dtype=cv2.CV_32F), np.float32)
    inverse = np.linalg.inv(products)
    return Kept(
        window,
        pixels,
        detail,
        from_patch,
        patch.ravel(),
        steepest,
        inverse,
        time_s,
        box_xyxy,
        sharpness,
        by_small,
        frames,
    )


def align(kept: Kept, crop: NDArray[np.uint8], box_xyxy: NDArray[np.float32], window: Window) -> Alignment:
    """Find a kept face in the crop of a later frame.

    Args:
        kept: of the same track.
        crop: (S, S, 3) uint8 BGR, of any crop size.
        box_xyxy: (4,) expected face box in frame pixels.
        window: of the crop in the frame.
    """
    gray, start = _gray(crop), _patch_matrix(box_xyxy, window)
    found = _refined(kept, gray, window, start)
    if found.change > SEARCH_LEVELS:
        other = _refined(kept, gray, window, _searched(kept, gray, start))
        found = min(found, other, key=lambda one: one.change)
    return found


def _refined(kept: Kept, gray: NDArray[np.uint8], window: Window, start: Matrix) -> Alignment:
    """Alignment from a place near by.

    Args:
        kept: face.
        gray: (S, S) new crop.
        window: of the crop.
        start: (2, 3), coordinates in the patch -> in the crop.
    """
    weights, motion = _weights().ravel(), np.eye(3)[:2]
    for _ in range(MAX_STEPS):
        error = _patch(gray, _compose(start, motion)).ravel() - kept.patch
        error -= float(weights @ error)  # weights sum to 1
        step = kept.inverse @ (kept.steepest @ error)
        motion = _compose(motion, _inverse(_motion(step)))
        if abs(step[2]) + abs(step[5]) < ENOUGH:
            break
    to_crop = _compose(start, motion)
    to_kept = _compose(kept.from_patch, _inverse(to_crop))
    if not _plausible(motion):
        return Alignment(to_kept, np.inf, False)
    error = _patch(gray, to_crop).ravel() - kept.patch
    error -= float(weights @ error)
    smooth = cv2.blur(error.reshape(PATCH, PATCH), (3, 3)).ravel()
    change = float(np.sqrt(weights @ (smooth * smooth)))
    return Alignment(to_kept, change, _is_still(kept, to_kept, window) and change < STILL_LEVELS)


def _searched(kept: Kept, gray: NDArray[np.uint8], start: Matrix) -> Matrix:
    """The place of the best match at half the resolution."""
    template = cv2.resize(kept.patch.reshape(PATCH, PATCH), (PATCH // 2,) * 2, interpolation=cv2.INTER_AREA)
    side = PATCH // 2 + 2 * SEARCH
    coarse = start.copy()
    coarse[:, :2] *= 2
    coarse[:, 2] += start[:, :2].sum(1) * (0.5 - 2 * SEARCH)
    area = cv2.warpAffine(
        cv2.blur(gray, (3, 3)), coarse, (side, side), flags=_INVERSE_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    inner = slice(PATCH // 16, -(PATCH // 16))
    scores = cv2.matchTemplate(area.astype(np.float32), template[inner, inner], cv2.TM_CCOEFF_NORMED)
    y, x = np.unravel_index(int(np.argmax(np.nan_to_num(scores))), scores.shape)
    found = start.copy()
    found[:, 2] += start[:, :2] @ (2.0 * np.array((x, y)) - 2 * SEARCH - PATCH / 8)
    return np.asarray(found, np.float64)


def aligned_box(kept: Kept, alignment: Alignment, window: Window) -> NDArray[np.float32]:
    """Face box in the frame of the new crop, (4,) frame pixels.

    Args:
        kept: of the track.
        alignment: in the new crop.
        window: of the new crop.
    """
    to_new = _inverse(alignment.to_kept)
    size = (kept.box_xyxy[2:] - kept.box_xyxy[:2]) * np.float32(np.sqrt(abs(np.linalg.det(to_new[:, :2]))))
    center = (kept.box_xyxy[:2] + kept.box_xyxy[2:]) / 2 - (kept.window.x + 0.5, kept.window.y + 0.5)
    moved = to_new[:, :2] @ center + to_new[:, 2] + (window.x + 0.5, window.y + 0.5)
    return np.concatenate((moved - size / 2, moved + size / 2)).astype(np.float32)


def reused(kept: Kept, crop: NDArray[np.uint8], alignment: Alignment) -> NDArray[np.uint8]:
    """The face in a later frame.

    Args:
        kept: of the same track.
        crop: (S, S, 3) uint8 BGR of the later frame.
        alignment: of the kept face in it.

    Returns:
        (kS, kS, 3) uint8 BGR; `kept.pixels` itself for a still face, so that noise does not make it flicker.
    """
    if alignment.still:
        return kept.pixels
    scale = kept.pixels.shape[0] // kept.window.side
    size = (scale * crop.shape[1], scale * crop.shape[0])
    enlarged = cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC)
    matrix = alignment.to_kept.copy()
    matrix[:, 2] = scale * matrix[:, 2] + (scale - 1) / 2 * (1 - matrix[:, :2].sum(1))
    detail = cv2.warpAffine(kept.detail, matrix, size, flags=_INVERSE_LINEAR)
    return np.asarray(cv2.add(enlarged, detail, dtype=cv2.CV_8U), np.uint8)


def _gray(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), np.uint8)


def _patch_matrix(box_xyxy: NDArray[np.float32], window: Window) -> Matrix:
    """Coordinates in the patch of a face -> in the crop, (2, 3)."""
    left, top, right, bottom = (float(v) for v in box_xyxy)
    step = REACH * max(right - left, bottom - top, 1.0) / PATCH
    x, y = (left + right) / 2 - window.x - 0.5, (top + bottom) / 2 - window.y - 0.5
    offset = step * (PATCH - 1) / 2
    return np.array([[step, 0, x - offset], [0, step, y - offset]])


def _patch(gray: NDArray[np.uint8], from_patch: Matrix) -> NDArray[np.float32]:
    """Samples of a crop, (PATCH, PATCH) gray levels."""
    patch = cv2.warpAffine(gray, from_patch, (PATCH, PATCH), flags=_INVERSE_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(patch, np.float32)


@lru_cache(maxsize=1)
def _positions() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x and y of the samples of a patch relative to its center, (PATCH, PATCH)."""
    y, x = np.mgrid[:PATCH, :PATCH].astype(np.float32) - np.float32((PATCH - 1) / 2)
    return x, y


@lru_cache(maxsize=1)
def _weights() -> NDArray[np.float32]:
    """Weights of the samples, those of the face without its surroundings; they sum to 1."""
    x, y = _positions()
    radius = np.hypot(x, y) * 2 / PATCH  # 1 at the middle of the sides
    weights = np.clip((0.95 - radius) / 0.2, 0, 1).astype(np.float32)
    return np.asarray(weights / weights.sum(), np.float32)


def _derivatives(patch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Derivatives by the parameters of `_motion`, (6, PATCH·PATCH)."""
    x, y = _positions()
    dx = cv2.Sobel(patch, cv2.CV_32F, 1, 0, scale=1 / 8)
    dy = cv2.Sobel(patch, cv2.CV_32F, 0, 1, scale=1 / 8)
    parts = (dx * x / PATCH, dx * y / PATCH, dx, dy * x / PATCH, dy * y / PATCH, dy)
    return np.asarray(np.stack(parts), np.float32).reshape(6, -1)


def _motion(p: NDArray[np.float64]) -> Matrix:
    """Affine motion (2, 3) of patch coordinates about the center of the patch."""
    center = (PATCH - 1) / 2
    a, b, c, d = p[0] / PATCH, p[1] / PATCH, p[3] / PATCH, p[4] / PATCH
    return np.array([[1 + a, b, p[2] - (a + b) * center], [c, 1 + d, p[5] - (c + d) * center]])


def _compose(outer: Matrix, inner: Matrix) -> Matrix:
    """(2, 3) of applying `inner`, then `outer`."""
    linear = outer[:, :2] @ inner
    linear[:, 2] += outer[:, 2]
    return linear


def _inverse(matrix: Matrix) -> Matrix:
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64)


def _plausible(motion: Matrix) -> bool:
    center = (PATCH - 1) / 2
    shift = motion[:, :2].sum(1) * center + motion[:, 2] - center
    stretch = np.abs(motion[:, :2] - np.eye(2)).max()
    return bool(np.isfinite(motion).all() and np.abs(shift).max() < MAX_SHIFT * PATCH and stretch < MAX_STRETCH)


def _is_still(kept: Kept, to_kept: Matrix, window: Window) -> bool:
    """Whether the face is at the same place of the same window."""
    if window != kept.window:
        return False
    middle = kept.from_patch[:, 2] + kept.from_patch[:, :2].sum(1) * (PATCH - 1) / 2
    half = kept.face_px / 2
    corners = middle + half * np.array([(-1, -1), (1, -1), (-1, 1), (1, 1)])
    moved = corners @ to_kept[:, :2].T + to_kept[:, 2] - corners
    return bool(np.abs(moved).max() < 4 * STILL_PX and np.abs(moved.mean(0)).max() < STILL_PX)
