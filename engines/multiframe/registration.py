"""Sub-pixel registration of a face in two crops: an affine motion, by inverse compositional alignment.

The derivatives of a crop are computed once, for the next crop. Pixels that do not follow the motion of the face, such
as a closing eye, a hand or the background, lose their weight after the first steps.

Source: S. Baker and I. Matthews, "Lucas-Kanade 20 years on: a unifying framework", 2004.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.float32]
Affine = tuple[float, float, float, float, float, float]
"""Affine map of positions (x, y): x' = a x + b y + c, y' = d x + e y + f; pixel centers are at whole numbers."""
IDENTITY: Affine = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

MAX_SIDE = 64
"""Larger crops are registered at half their resolution: more pixels do not make it more accurate."""
SMOOTHING = 0.5
"""Standard deviation of the filter before it, pixels. More costs accuracy: the chained error of four frames, median in
pixels, is 0.08, 0.10 and 0.15 at 0.5, 0.8 and 1.2 on clean crops of 32 px."""
RADIUS, SOFTNESS = 0.45, 0.25
"""Radius of the face in the crop at half of its weight, and width of the transition, relative to the side."""
COARSE_STEPS, FINE_STEPS = 4, 6
ROBUST_FROM, ROBUST_AT = 2, 4.0
"""Step at which the weights change, and the squared difference, relative to the median, at which they are halved."""
ENOUGH = 0.02
"""Translation of a step in pixels after which it ends."""
DAMPING = 1e-3
"""Regularization relative to the mean curvature: faces have parts without texture."""
MAX_STRETCH = 0.2
"""Largest change of size or shape between two crops."""
MIN_CORRELATION = 0.85
"""Correlation of the registered crops below which they do not show the same face."""


@dataclass(frozen=True, eq=False)
class Template:
    """A crop that the next one is registered to.

    Args:
        levels: of the resolution, the finest first.
        side: of the crop, pixels.
    """

    levels: tuple[Level, ...]
    side: int


@dataclass(frozen=True, eq=False)
class Level:
    """A crop at one resolution.

    Args:
        gray: (P, P) gray levels, smoothed.
        derivatives: (6, P·P) of the gray levels by the parameters of the motion.
        steepest: (6, P·P), weighted.
        inverse: (6, 6) inverse of the products of both.
        step: crop pixels per pixel.
    """

    gray: Gray
    derivatives: NDArray[np.float32]
    steepest: NDArray[np.float32]
    inverse: NDArray[np.float32]
    step: int


class Registration(NamedTuple):
    """How a face has moved from one crop to another.

    Args:
        motion: positions in the first crop -> in the second.
        correlation: of the registered crops, -1 to 1.
    """

    motion: Affine
    correlation: float

    @property
    def failed(self) -> bool:
        """Whether the crops do not show the same face."""
        return self.correlation < MIN_CORRELATION


def luma(crop: NDArray[np.uint8]) -> Gray:
    """(S, S, 3) uint8 BGR -> (S, S) float32 gray levels."""
    return np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), np.float32)


def template(gray: Gray) -> Template:
    """Prepare a crop for `register`.

    Args:
        gray: (S, S) float32 gray levels, see `luma`.
    """
    side = gray.shape[0]
    fine = cv2.GaussianBlur(gray, (3, 3), SMOOTHING)
    step = 1
    while fine.shape[0] > MAX_SIDE:
        fine, step = _halved(fine), 2 * step
    return Template((_level(fine, step), _level(_halved(fine), 2 * step)), side)


def register(first: Template, second: Template, starts: Sequence[Affine] = (IDENTITY,)) -> Registration:
    """Find the motion of a face between two crops.

    Args:
        first, second: crops, of any sides.
        starts: expected motions, positions in the first crop -> in the second; the best one is refined.
    """
    coarse, fine = first.levels[-1], first.levels[0]
    other = second.levels[-1]
    candidates = [_to_level(motion, coarse.step, other.step) for motion in starts]
    if len(candidates) > 1:
        candidates.sort(key=lambda motion: _difference(coarse, other.gray, motion))
    motion = _refined(coarse, other.gray, candidates[0], COARSE_STEPS, robust=False)
    motion = _from_level(motion, coarse.step, other.step)
    other = second.levels[0]
    motion = _refined(fine, other.gray, _to_level(motion, fine.step, other.step), FINE_STEPS, robust=True)
    correlation = _correlation(fine, other.gray, motion)
    motion = _from_level(motion, fine.step, other.step)
    return Registration(motion, correlation if _plausible(motion, first.side) else -1.0)


def compose(outer: Affine, inner: Affine) -> Affine:
    """The map that applies `inner`, then `outer`."""
    a, b, c, d, e, f = outer
    g, h, i, j, k, m = inner
    return a * g + b * j, a * h + b * k, a * i + b * m + c, d * g + e * j, d * h + e * k, d * i + e * m + f


def inverse(motion: Affine) -> Affine:
    """The opposite map."""
    a, b, c, d, e, f = motion
    scale = 1.0 / (a * e - b * d)
    a, b, d, e = e * scale, -b * scale, -d * scale, a * scale
    return a, b, -(a * c + b * f), d, e, -(d * c + e * f)


def shift(x: float, y: float) -> Affine:
    """A translation in pixels."""
    return 1.0, 0.0, x, 0.0, 1.0, y


def _level(gray: Gray, step: int) -> Level:
    x, y, weights = _grid(gray.shape[0])
    dx = cv2.Sobel(gray, cv2.CV_32F, 1, 0, scale=1 / 8)
    dy = cv2.Sobel(gray, cv2.CV_32F, 0, 1, scale=1 / 8)
    derivatives = np.empty((6, gray.size), np.float32)
    rows = derivatives.reshape(6, *gray.shape)
    for row, gradient in ((0, dx), (3, dy)):
        np.multiply(gradient, x, rows[row])
        np.multiply(gradient, y, rows[row + 1])
        rows[row + 2] = gradient
    return Level(gray, derivatives, *_weighted(derivatives, weights), step)


def _weighted(
    derivatives: NDArray[np.float32], weights: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Steepest descent (6, P·P), and the inverse of its products with the derivatives, (6, 6)."""
    steepest = derivatives * weights
    products = (steepest @ derivatives.T).astype(np.float64)
    products[_DIAGONAL] += DAMPING * products[_DIAGONAL].mean() + 1e-9
    return steepest, np.linalg.inv(products).astype(np.float32)


_DIAGONAL = np.arange(6), np.arange(6)


def _refined(level: Level, gray: Gray, motion: Affine, steps: int, robust: bool) -> Affine:
    """Motion between a level and another crop at a level, from one near by."""
    side = level.gray.shape[0]
    weights = _grid(side)[2]
    steepest, inverse_products = level.steepest, level.inverse
    for number in range(steps):
        error = _warped(gray, motion, side) - level.gray
        flat = error.ravel()
        flat -= np.float32(weights @ flat)  # the light may change
        if robust and number == ROBUST_FROM:
            squared = cv2.blur(cv2.multiply(error, error), (3, 3)).ravel()
            median = float(np.median(squared)) + 1.0
            weights = weights / (1 + np.square(squared * np.float32(1 / (ROBUST_AT * median))))
            weights *= np.float32(1 / weights.sum())
            flat -= np.float32(weights @ flat)
            steepest, inverse_products = _weighted(level.derivatives, weights)
        p = (inverse_products @ (steepest @ flat)).tolist()
        motion = compose(motion, inverse(_motion(p, side)))
        if abs(p[2]) + abs(p[5]) < ENOUGH and (not robust or number >= ROBUST_FROM):
            break
    return motion


def _motion(p: Sequence[float], side: int) -> Affine:
    """Affine motion of parameters about the center of a square."""
    center = (side - 1) / 2
    a, b, c, d = p[0] / side, p[1] / side, p[3] / side, p[4] / side
    return 1 + a, b, p[2] - (a + b) * center, c, 1 + d, p[5] - (c + d) * center


def _warped(gray: Gray, motion: Affine, side: int) -> Gray:
    matrix = np.array(motion).reshape(2, 3)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(gray, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.float32)


def _difference(level: Level, gray: Gray, motion: Affine) -> float:
    side = level.gray.shape[0]
    error = (_warped(gray, motion, side) - level.gray).ravel()
    weights = _grid(side)[2]
    return float(weights @ (error * error)) - float(weights @ error) ** 2


def _correlation(level: Level, gray: Gray, motion: Affine) -> float:
    side = level.gray.shape[0]
    weights = _grid(side)[2]
    one, two = level.gray.ravel(), _warped(gray, motion, side).ravel()
    one, two = one - weights @ one, two - weights @ two
    weighted = weights * one
    power = float(weighted @ one) * float(weights @ (two * two))
    return float(weighted @ two) / (power**0.5 + 1e-3)


def _plausible(motion: Affine, side: int) -> bool:
    a, b, c, d, e, f = motion
    center = (side - 1) / 2
    moved = max(abs(a * center + b * center + c - center), abs(d * center + e * center + f - center))
    return moved < side and max(abs(a - 1), abs(b), abs(d), abs(e - 1)) < MAX_STRETCH


def _to_level(motion: Affine, step: int, other_step: int) -> Affine:
    """A motion of crop pixels -> the same of pixels of levels: position p of a crop is step·q + (step - 1) / 2."""
    from_level = (step, 0.0, (step - 1) / 2, 0.0, step, (step - 1) / 2)
    return compose(inverse((other_step, 0.0, (other_step - 1) / 2, 0.0, other_step, (other_step - 1) / 2)), compose(motion, from_level))


def _from_level(motion: Affine, step: int, other_step: int) -> Affine:
    """The opposite of `_to_level`."""
    to_level = inverse((step, 0.0, (step - 1) / 2, 0.0, step, (step - 1) / 2))
    return compose((other_step, 0.0, (other_step - 1) / 2, 0.0, other_step, (other_step - 1) / 2), compose(motion, to_level))


def _halved(gray: Gray) -> Gray:
    return np.asarray(cv2.resize(gray, (gray.shape[1] // 2, gray.shape[0] // 2), interpolation=cv2.INTER_AREA), np.float32)


@lru_cache(maxsize=32)
def _grid(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """x and y relative to the center in sides, (P, P), and weights of the face, (P·P,), which sum to 1."""
    y, x = (np.mgrid[:side, :side].astype(np.float32) - np.float32((side - 1) / 2)) / np.float32(side)
    weights = np.clip((RADIUS + SOFTNESS / 2 - np.hypot(x, y)) / SOFTNESS, 0, 1).astype(np.float32)
    weights[[0, -1]] = weights[:, [0, -1]] = 0
    return x, y, (weights / weights.sum()).ravel()
