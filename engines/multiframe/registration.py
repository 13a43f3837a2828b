"""Sub-pixel registration of a face in two crops: an affine motion, by inverse compositional alignment.

Gain and offset of the light are unknowns beside the motion. Pixels that do not follow the motion of the face, such as a
closing eye, a hand or the background, lose their weight after the first steps.

Source: S. Baker and I. Matthews, "Lucas-Kanade 20 years on: a unifying framework", 2004.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Gray = Floats
"""(S, S) gray levels, 0 to 255."""
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
COARSE_STEPS, FINE_STEPS = 8, 6
ROBUST_FROM, ROBUST_AT = 1, 4.0
"""Step at which the weights change, and the squared difference, relative to the median, at which they are halved."""
ENOUGH = 0.02
"""Translation of a step in pixels after which it ends."""
DAMPING = 1e-3
"""Regularization relative to the mean curvature: faces have parts without texture."""
ALL, SAME_GAIN = (True,) * 8, (True,) * 7 + (False,)
TRANSLATION = (False, False, True, False, False, True, True, False)
"""Which parameters are sought: those of the motion, an offset and a gain of the light. At the coarse level it is the
translation and the offset: of jumps by a fifth of the side, at 64 px, 31 of 40 fail with all of them, 4 with these."""
LIGHT_CHANGE = 0.1
"""Gain of the light below which it counts as unchanged. An unknown gain costs a tenth of the accuracy; a change of 30 %
that is not sought costs eight times the error."""
FIXED, TINY = 1e6, 1e-6
"""Curvature of parameters that are not sought, and of those that a crop does not determine."""
MAX_STRETCH = 0.2
"""Largest change of size or shape between two crops."""
MAX_BEYOND, MIN_INSIDE = 0.06, 0.4
"""How far a motion leads beyond the other crop, relative to the side, until the pixels outside have no weight; and how
much of the weights must be inside."""
COARSE_SIDE = 24
"""Largest side of the coarse level, pixels."""
NEAR_CORRELATION = 0.97
"""Correlation at the coarse level from which on a start is near: no other one is tried, the coarse level is skipped."""
MIN_CORRELATION = 0.87
"""Correlation of the registered crops below which they do not show the same face. Of 2,880 pairs of successive crops of
simulated tracks (32 px; clean and H.264 at CRF 23, 28 and 33; blinks), 0.4 % are below it: none as recorded, 0.9 % of
those darkened to a quarter with noise of 3 levels, 0.3 % of those with noise of 10 levels. Of 720 pairs of different
faces at the same place none is above it, 0.7 % are above 0.85."""
FAILED = -1.0
"""Correlation of crops without a plausible motion."""


class Fit(NamedTuple):
    """Linear system of the parameters of a motion and of the light.

    Args:
        rows: (8, P·P), derivatives of the gray levels by the six parameters of the motion, by an offset and by a gain.
        weighted: (8, P·P), the same times the weights of the pixels.
        inverse: (8, 8), inverse of the products of both.
    """

    rows: Floats
    weighted: Floats
    inverse: Floats


@dataclass(frozen=True, eq=False)
class Level:
    """A crop at one resolution.

    Args:
        gray: (P, P) gray levels, smoothed.
        step: crop pixels per pixel.
        unknown: which of the eight parameters are sought.
    """

    gray: Gray
    step: int
    unknown: tuple[bool, ...]

    @cached_property
    def fit(self) -> Fit:
        """Its linear system, with the weights of a face."""
        x, y, weights = _grid(self.gray.shape[0])
        rows = np.empty((8, *self.gray.shape), np.float32)
        cv2.Sobel(self.gray, cv2.CV_32F, 1, 0, rows[2], scale=1 / 8)
        cv2.Sobel(self.gray, cv2.CV_32F, 0, 1, rows[5], scale=1 / 8)
        for row in (2, 5):
            np.multiply(rows[row], x, rows[row - 2])
            np.multiply(rows[row], y, rows[row - 1])
        rows[6] = 1
        np.subtract(self.gray, weights @ self.gray.ravel(), rows[7])
        return _fit(rows.reshape(8, -1), weights, self.unknown)


@dataclass(frozen=True, eq=False)
class Template:
    """A crop that is registered.

    Args:
        fine, coarse: the crop at most `MAX_SIDE` and `COARSE_SIDE` wide.
        side: of the crop, pixels.
    """

    fine: Level
    coarse: Level
    side: int


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
        return not self.correlation >= MIN_CORRELATION


def luma(crop: NDArray[np.uint8]) -> Gray:
    """(S, S, 3) uint8 BGR -> (S, S) float32 gray levels."""
    return cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY).astype(np.float32)


def template(gray: Gray) -> Template:
    """Prepare a crop for `register`.

    Args:
        gray: (S, S) float32 gray levels, see `luma`.
    """
    fine, step = np.asarray(cv2.GaussianBlur(gray, (3, 3), SMOOTHING), np.float32), 1
    while fine.shape[0] > MAX_SIDE:
        fine, step = _halved(fine), 2 * step
    coarse, coarse_step = _halved(fine), 2 * step
    while coarse.shape[0] > COARSE_SIDE:
        coarse, coarse_step = _halved(coarse), 2 * coarse_step
    return Template(Level(fine, step, ALL), Level(coarse, coarse_step, TRANSLATION), gray.shape[0])


def register(first: Template, second: Template, starts: Sequence[Affine] = (IDENTITY,)) -> Registration:
    """Find the motion of a face between two crops.

    Args:
        first, second: crops, of any sides.
        starts: expected motions, positions in the first crop -> in the second; the best one is refined.
    """
    start, correlation = _best(first.coarse, second.coarse, starts)
    if correlation < NEAR_CORRELATION:
        start = _refined(first.coarse, second.coarse, start, COARSE_STEPS, robust=False)
    motion = _refined(first.fine, second.fine, start, FINE_STEPS, robust=True)
    plausible = _plausible(motion, first.side)
    return Registration(motion, _correlation(first.fine, second.fine, motion) if plausible else FAILED)


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


def _best(level: Level, other: Level, starts: Sequence[Affine]) -> tuple[Affine, float]:
    """The first start that is near, or the nearest one, and its correlation."""
    best, highest = starts[0], -2.0
    for start in starts:
        correlation = _correlation(level, other, start)
        if correlation > highest:
            best, highest = start, correlation
        if highest >= NEAR_CORRELATION:
            break
    return best, highest


def _refined(level: Level, other: Level, start: Affine, steps: int, robust: bool) -> Affine:
    """Motion between two crops, from one near by; positions are those of the crops."""
    side = level.gray.shape[0]
    center, gray = (side - 1) / 2, level.gray.ravel()
    motion = _rescaled(start, level.step, other.step)
    weights, cut = _weights(side, other.gray.shape[0], motion)
    fit = _fit(level.fit.rows, weights, level.unknown) if cut else level.fit
    found = start
    for number in range(steps):
        warped = _warped(other.gray, motion, side)
        warped -= gray
        solution = fit.inverse @ (fit.weighted @ warped)
        if robust and number == ROBUST_FROM:
            unknown = ALL if abs(float(solution[7])) > LIGHT_CHANGE else SAME_GAIN
            fit = _fit(fit.rows, _robust_weights(np.subtract(warped, solution @ fit.rows), weights), unknown)
            solution = fit.inverse @ (fit.weighted @ warped)
        a, b, x, c, d, y = solution[:6].tolist()
        a, b, c, d = a / side, b / side, c / side, d / side
        motion = compose(motion, (1 - a, -b, (a + b) * center - x, -c, 1 - d, (c + d) * center - y))
        found = _rescaled(motion, 1 / level.step, 1 / other.step)
        ended = abs(x) + abs(y) < ENOUGH and (not robust or number >= ROBUST_FROM)
        if ended or not _plausible(found, 2 * level.step * side):
            break
    return found


def _fit(rows: Floats, weights: Floats, unknown: tuple[bool, ...]) -> Fit:
    weighted = rows * weights
    products = (weighted @ rows.T).astype(np.float64)
    diagonal = products.reshape(-1)[::9]
    diagonal[:6] += DAMPING / 6 * diagonal[:6].sum()
    diagonal += TINY
    diagonal[~np.array(unknown)] += FIXED
    return Fit(rows, weighted, cv2.invert(products, flags=cv2.DECOMP_CHOLESKY)[1].astype(np.float32))


def _weights(side: int, other_side: int, motion: Affine) -> tuple[Floats, bool]:
    """Weights (P·P,) of a face in a crop, and whether a part was cut off because it leaves the other crop.

    Weights whose sum is not positive mean that too little is left.
    """
    weights = _grid(side)[2]
    a, b, c, d, e, f = motion
    half, other_half = (side - 1) / 2, (other_side - 1) / 2
    beyond_x = abs((a + b) * half + c - other_half) + (abs(a) + abs(b)) * half - other_half
    beyond_y = abs((d + e) * half + f - other_half) + (abs(d) + abs(e)) * half - other_half
    if max(beyond_x, beyond_y) < MAX_BEYOND * side:
        return weights, False
    cut = weights * _warped(np.ones((other_side, other_side), np.float32), motion, side, cv2.BORDER_CONSTANT)
    left = float(cut.sum())
    return (cut / np.float32(left) if left > MIN_INSIDE else np.zeros_like(cut)), True


def _robust_weights(residual: Floats, weights: Floats) -> Floats:
    """Weights (P·P,), less where the motion and the light do not explain the difference."""
    side = round(len(weights) ** 0.5)
    squared = cv2.blur(np.square(residual).reshape(side, side), (3, 3)).ravel()
    some = np.sort(squared[_inner(side)])
    median = float(some[len(some) // 2]) + 1.0
    ratio = squared * np.float32(1 / (ROBUST_AT * median))
    robust: Floats = weights / (1 + np.square(ratio))
    robust /= robust.sum() + np.float32(1e-9)
    return robust


def _warped(gray: Gray, motion: Affine, side: int, border: int = cv2.BORDER_REPLICATE) -> Floats:
    """Gray levels at the places where a motion brings the pixels of a crop, (side·side,)."""
    matrix = np.array((motion[:3], motion[3:]))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(gray, matrix, (side, side), None, flags, border)
    return np.asarray(warped, np.float32).ravel()


def _correlation(level: Level, other: Level, motion: Affine) -> float:
    """Correlation of two crops, with the weights of a face; the motion is that of crop positions."""
    side = level.gray.shape[0]
    motion = _rescaled(motion, level.step, other.step)
    weights, cut = _weights(side, other.gray.shape[0], motion)
    if cut and not weights.any():
        return FAILED
    one, two = level.gray.ravel(), _warped(other.gray, motion, side)
    one, two = one - weights @ one, two - weights @ two
    weighted = weights * one
    power = float(weighted @ one) * float(weights @ (two * two))
    return float(weighted @ two) / float(power**0.5 + 1e-3)


def _plausible(motion: Affine, side: int) -> bool:
    a, b, c, d, e, f = motion
    center = (side - 1) / 2
    moved = max(abs(a * center + b * center + c - center), abs(d * center + e * center + f - center))
    return moved < side and max(abs(a - 1), abs(b), abs(d), abs(e - 1)) < MAX_STRETCH


def _rescaled(motion: Affine, step: float, other_step: float) -> Affine:
    """A motion of pixels -> the same of pixels that are `step` times as large in the first crop.

    Position q of a larger pixel is step·q + (step - 1) / 2.
    """
    if step == other_step == 1:
        return motion
    a, b, c, d, e, f = motion
    center, other_center = (step - 1) / 2, (other_step - 1) / 2
    ratio = step / other_step
    x = (a * center + b * center + c - other_center) / other_step
    y = (d * center + e * center + f - other_center) / other_step
    return a * ratio, b * ratio, x, d * ratio, e * ratio, y


def _halved(gray: Gray) -> Gray:
    size = gray.shape[1] // 2, gray.shape[0] // 2
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.float32)


@lru_cache(maxsize=32)
def _grid(side: int) -> tuple[Floats, Floats, Floats]:
    """x and y relative to the center in sides, (P, P), and weights of the face, (P·P,), which sum to 1."""
    y, x = (np.mgrid[:side, :side].astype(np.float32) - np.float32((side - 1) / 2)) / np.float32(side)
    weights = np.clip((RADIUS + SOFTNESS / 2 - np.hypot(x, y)) / SOFTNESS, 0, 1).astype(np.float32)
    weights[[0, -1]] = weights[:, [0, -1]] = 0
    return x, y, (weights / weights.sum()).ravel()


@lru_cache(maxsize=32)
def _inner(side: int) -> NDArray[np.intp]:
    """Flat indices of every second pixel of the face on both axes."""
    index = np.arange(side * side).reshape(side, side)[1::2, 1::2]
    return index[_grid(side)[2].reshape(side, side)[1::2, 1::2] > 0]
