"""Samples of earlier crops on the grid of the upscaled face: what several frames of a face add to the newest one.

Each pixel of an earlier crop is a sample of the face at a sub-pixel position, where it is compared with the newest
crop, interpolated there. It falls into one cell of a grid of the pitch of the upscaled face. The mean difference of a
cell's samples and their weight are the inputs of a multi-frame network, the cells of a pixel side by side as channels.
Pixel centers are in the middle of cells, so that small errors of the registration do not move a face that stands still.

Source of the accumulation of shifted samples on a finer grid: A. Fruchter and R. Hook, "Drizzle: a method for the
linear reconstruction of undersampled images", 2002.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from .registration import Affine, Floats, Gray

OUTLIER_LEVELS = 16.0
"""Difference in gray levels, root mean square over 3×3 samples, at which a sample has half of its weight: a hand in
front of a face, a closed eye or another face differ more than noise and compression do."""
HALF_WEIGHT = 1.0
"""Sum of weights that makes a weight of a half."""
MIN_WEIGHT = 1e-3
"""Sum of weights below which the mean difference is reduced."""
FAR = 1e5
"""Parameter of a motion, pixels, from which on no sample can be inside."""
TOGETHER = 16384
"""Pixels of crops, or cells, that are processed in one pass: their arrays stay in the cache."""


def channels(scale: int) -> int:
    """Channels of the input: a difference and a weight for each cell of a pixel."""
    return 2 * scale * scale


def accumulate(
    newest: Gray, earlier: Sequence[tuple[Gray, Affine]], scale: int, out: Floats | None = None
) -> NDArray[np.float32]:
    """Lay the pixels of earlier crops on the grid of the upscaled face.

    Args:
        newest: (S, S) gray levels.
        earlier: crops of the same face, (s, s) gray levels of any side, and the motions from their positions to those
            of the newest crop. A motion that is not finite, or leads far outside, adds no sample.
        scale: k, cells per pixel on both axes.
        out: C-contiguous array for the result.

    Returns:
        (2·k², S, S) float32. First the mean differences from the newest crop, in fractions of 255, then the weights, 0
        (no sample) to 1. Channel k·row + column is that cell of each pixel: its center is at (column - k // 2) / k and
        (row - k // 2) / k pixels from the center of the pixel.
    """
    side, total = newest.shape[0], (scale * newest.shape[0]) ** 2
    planes = np.empty((channels(scale), side, side), np.float32) if out is None else out
    planes.fill(0)
    groups = _groups(earlier)
    if not groups:
        return planes
    mean, weight = planes.reshape(2, total)
    for grays, motions in groups:
        cells, differences, weights = _samples(grays, motions, newest, scale)
        np.add.at(mean, cells, differences)
        np.add.at(weight, cells, weights)
    for start in range(0, total, TOGETHER):
        _normalize(mean[start : start + TOGETHER], weight[start : start + TOGETHER])
    return planes


def _normalize(differences: Floats, weights: Floats) -> None:
    """Make mean differences in fractions of 255 of sums, and weights from 0 to 1, in place."""
    divisor = np.maximum(weights, np.float32(MIN_WEIGHT))
    divisor *= np.float32(255)
    differences /= divisor
    np.add(weights, np.float32(HALF_WEIGHT), out=divisor)
    weights /= divisor


def _groups(earlier: Sequence[tuple[Gray, Affine]]) -> list[tuple[list[Gray], list[Affine]]]:
    """Crops that are laid together: of equal side, at most `TOGETHER` pixels, with usable motions."""
    groups: list[tuple[list[Gray], list[Affine]]] = []
    for gray, motion in earlier:
        if not all(abs(value) < FAR for value in motion):
            continue
        if not groups or groups[-1][0][0].shape != gray.shape or (len(groups[-1][0]) + 1) * gray.size > TOGETHER:
            groups.append(([], []))
        groups[-1][0].append(gray)
        groups[-1][1].append(motion)
    return groups


def _samples(
    grays: Sequence[Gray], motions: Sequence[Affine], newest: Gray, scale: int
) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Cells, weighted differences and weights of the pixels of n crops, (n·s·s,) each; the weight is 0 outside."""
    difference = np.stack(grays)  # (n, s, s)
    count, side, _ = difference.shape
    size = scale * newest.shape[0]
    places = _places(motions, side, size + 2, scale)
    cells, inside = _cells(size, scale)
    inside = inside.take(places)
    for one, motion in zip(difference, motions, strict=True):
        one -= _at(newest, motion, side)
    difference *= inside
    framed = np.empty((count, side + 2, side), np.float32)  # as `cv2.blur` continues each crop
    np.square(difference, out=framed[:, 1:-1])
    framed[:, 0], framed[:, -1] = framed[:, 2], framed[:, -3]
    squared = cv2.blur(framed.reshape(-1, side), (3, 3)).reshape(framed.shape)[:, 1:-1]
    weight = np.multiply(squared, np.float32(OUTLIER_LEVELS**-2))
    weight *= weight
    weight += np.float32(1)
    np.divide(inside, weight, out=weight)
    difference *= weight
    return cells.take(places).ravel(), difference.ravel(), weight.ravel()


def _places(motions: Sequence[Affine], side: int, size: int, scale: int) -> NDArray[np.intp]:
    """Index of the cell of a grid with a frame into which each pixel of the crops falls, (n, s, s)."""
    scaled = np.array(motions) * scale
    scaled[:, 2::3] += scale // 2 + 1.5  # cells are counted from the frame: positive positions are cut to whole ones
    a, b, c, d, e, f = scaled.T.astype(np.float32)[:, :, None]  # (n, 1)
    position = _positions(side)
    last = np.uint32(size - 1)  # negative positions are large ones as unsigned numbers
    x = ((b * position + c)[:, :, None] + (a * position)[:, None]).astype(np.int32).view(np.uint32)
    y = ((e * position + f)[:, :, None] + (d * position)[:, None]).astype(np.int32).view(np.uint32)
    places: NDArray[np.uint32] = np.minimum(y, last)
    places *= np.uint32(size)
    places += np.minimum(x, last)
    return places.astype(np.intp)


def _at(newest: Gray, motion: Affine, side: int) -> Gray:
    """The newest crop at the positions of the pixels of another one, (s, s), by bicubic interpolation."""
    matrix = np.array(motion).reshape(2, 3)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(newest, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE))


@lru_cache(maxsize=32)
def _positions(side: int) -> Floats:
    return np.arange(side, dtype=np.float32)


@lru_cache(maxsize=32)
def _cells(size: int, scale: int) -> tuple[NDArray[np.intp], Floats]:
    """For each cell of a grid with a frame, flat: its index in (k², S, S), and 1; both 0 on the frame."""
    side = size // scale
    cell = np.arange(size)
    inner, outer = cell % scale, cell // scale
    cells, inside = np.zeros((size + 2, size + 2), np.intp), np.zeros((size + 2, size + 2), np.float32)
    cells[1:-1, 1:-1] = (inner * scale * side * side + outer * side)[:, None] + inner * side * side + outer
    inside[1:-1, 1:-1] = 1
    return cells.ravel(), inside.ravel()
