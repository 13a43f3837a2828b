"""The fourth stage: the enlarged frame, with the faces pasted in by cached feathers, each in its own rectangle only."""

from __future__ import annotations

from functools import lru_cache
from itertools import chain

import cv2
import numpy as np
from numpy.typing import NDArray

from .results import Face

FEATHER = 0.1
"""Width of the seam, as a part of the window's side."""


@lru_cache(maxsize=32)
def feather(side: int) -> NDArray[np.float32]:
    """Weight of a pasted face: 0 at the rim, 1 inside, a smooth step between.

    Returns:
        (side, side) float32, read-only.
    """
    inset = np.minimum(np.arange(side) + 0.5, side - np.arange(side) - 0.5)
    t = np.clip(np.minimum(inset[:, None], inset[None, :]) / (FEATHER * side), 0, 1)
    weights: NDArray[np.float32] = (t * t * (3 - 2 * t)).astype(np.float32)
    weights.flags.writeable = False
    return weights


@lru_cache(maxsize=32)
def _remainder(side: int) -> NDArray[np.float32]:
    return 1 - feather(side)


def enlarge(frame: NDArray[np.uint8], outscale: int) -> NDArray[np.uint8]:
    """The background: the frame by bicubic interpolation, pixel centres at x' = k·x + (k - 1) / 2."""
    height, width = frame.shape[:2]
    size = (width * outscale, height * outscale)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def paste(background: NDArray[np.uint8], faces: tuple[Face, ...], outscale: int) -> None:
    """Lay the faces into the enlarged frame.

    Where several overlap, each counts by its feather's weight and the sum is normalised: their order never matters.

    Args:
        background: (outscale·H, outscale·W, 3) uint8 BGR, changed in place.
        faces: of the frame.
        outscale: how much larger the background is than the frame.
    """
    for group in _touching([face.window_xyxy for face in faces]):
        if len(group) == 1:
            _paste_one(background, faces[group[0]], outscale)
        else:
            ordered = sorted(group, key=lambda i: faces[i].window_xyxy)  # sums round alike whatever order they came in
            _paste_group(background, [faces[i] for i in ordered], outscale)


def _touching(windows: list[tuple[int, int, int, int]]) -> list[list[int]]:
    """Indices of windows, in groups that overlap directly or through others."""
    groups: list[list[int]] = []
    for index, (x0, y0, x1, y1) in enumerate(windows):
        near = [
            group
            for group in groups
            if any(
                x0 < windows[i][2] and windows[i][0] < x1 and y0 < windows[i][3] and windows[i][1] < y1 for i in group
            )
        ]
        groups = [group for group in groups if group not in near] + [[*chain.from_iterable(near), index]]
    return groups


def _placed(
    background: NDArray[np.uint8], face: Face, outscale: int
) -> tuple[NDArray[np.uint8], slice, slice, slice, slice]:
    """The face at the composite's scale, its rows and columns in the background, and those of its own there."""
    side = outscale * face.original.shape[0]
    pixels = face.pixels
    if pixels.shape[0] != side:
        method = cv2.INTER_AREA if side < pixels.shape[0] else cv2.INTER_CUBIC
        pixels = np.asarray(cv2.resize(pixels, (side, side), interpolation=method), dtype=np.uint8)
    left, top = (outscale * v for v in face.window_xyxy[:2])
    rows = slice(max(top, 0), min(top + side, background.shape[0]))
    columns = slice(max(left, 0), min(left + side, background.shape[1]))
    return (
        pixels,
        rows,
        columns,
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )


def _paste_one(background: NDArray[np.uint8], face: Face, outscale: int) -> None:
    pixels, rows, columns, own_rows, own_columns = _placed(background, face, outscale)
    side = pixels.shape[0]
    region = background[rows, columns]
    mine, theirs = feather(side)[own_rows, own_columns], _remainder(side)[own_rows, own_columns]
    region[:] = cv2.blendLinear(pixels[own_rows, own_columns], region, mine, theirs)


def _paste_group(background: NDArray[np.uint8], faces: list[Face], outscale: int) -> None:
    placed = [_placed(background, face, outscale) for face in faces]
    top, bottom = min(p[1].start for p in placed), max(p[1].stop for p in placed)
    left, right = min(p[2].start for p in placed), max(p[2].stop for p in placed)
    weight = np.zeros((bottom - top, right - left, 1), np.float32)
    total = np.zeros((bottom - top, right - left, 3), np.float32)
    for pixels, rows, columns, own_rows, own_columns in placed:
        here = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        mine = feather(pixels.shape[0])[own_rows, own_columns, None]
        weight[here] += mine
        total[here] += mine * pixels[own_rows, own_columns]
    region = background[top:bottom, left:right]
    total += np.maximum(1 - weight, 0) * region
    region[:] = np.rint(total / np.maximum(weight, 1))
