"""Stage 4: enlarge the frame and blend the upscaled faces into it, each within its own window only."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from .results import Face

FEATHER = 0.1
"""Width of the blended border, as a share of the window's side."""


@lru_cache(maxsize=32)
def feather(side: int) -> NDArray[np.float32]:
    """Weights of a pasted face: 0 at the border, 1 inside, smoothstep between them.

    Returns:
        (side, side) float32, read-only.
    """
    inset = np.minimum(np.arange(side) + 0.5, side - np.arange(side) - 0.5)
    t = np.clip(np.minimum(inset[:, None], inset[None, :]) / (FEATHER * side), 0, 1)
    weights: NDArray[np.float32] = (t * t * (3 - 2 * t)).astype(np.float32)
    weights.flags.writeable = False
    return weights


@lru_cache(maxsize=32)
def _inverse_feather(side: int) -> NDArray[np.float32]:
    return 1 - feather(side)


def enlarge(frame: NDArray[np.uint8], outscale: int) -> NDArray[np.uint8]:
    """Enlarge a frame by bicubic interpolation, pixel centers at x' = k·x + (k - 1) / 2."""
    height, width = frame.shape[:2]
    size = (width * outscale, height * outscale)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def paste(background: NDArray[np.uint8], faces: tuple[Face, ...], outscale: int) -> None:
    """Blend faces into an enlarged frame.

    Where several overlap, each is weighted by its feather and the sum is normalized: the result is independent of
    their order.

    Args:
        background: (outscale·H, outscale·W, 3) uint8 BGR, changed in place.
        faces: of the frame.
        outscale: ratio of the background's size to the frame's.
    """
    for group in _overlapping_groups([face.window_xyxy for face in faces]):
        if len(group) == 1:
            _paste_one(background, faces[group[0]], outscale)
        else:
            ordered = sorted(group, key=lambda i: faces[i].window_xyxy)  # the order decides how sums are rounded
            _paste_group(background, [faces[i] for i in ordered], outscale)


def _overlapping_groups(windows: list[tuple[int, int, int, int]]) -> list[list[int]]:
    """Indices of windows, in groups that overlap directly or through others."""
    groups: list[list[int]] = []
    for index, (x0, y0, x1, y1) in enumerate(windows):
        joined = [
            group
            for group in groups
            if any(
                x0 < windows[i][2] and windows[i][0] < x1 and y0 < windows[i][3] and windows[i][1] < y1 for i in group
            )
        ]
        groups = [group for group in groups if group not in joined] + [[*chain.from_iterable(joined), index]]
    return groups


Region = tuple[slice, slice]


class _Placement(NamedTuple):
    """A face at the scale of the composite, and the part of it that lies in the background."""

    pixels: NDArray[np.uint8]
    region: Region  # of the background
    inside: Region  # of the pixels


def _place(background: NDArray[np.uint8], face: Face, outscale: int) -> _Placement:
    side = outscale * face.original.shape[0]
    pixels = face.pixels
    if pixels.shape[0] != side:
        method = cv2.INTER_AREA if side < pixels.shape[0] else cv2.INTER_CUBIC
        pixels = np.asarray(cv2.resize(pixels, (side, side), interpolation=method), dtype=np.uint8)
    left, top = (outscale * v for v in face.window_xyxy[:2])
    rows = slice(max(top, 0), min(top + side, background.shape[0]))
    columns = slice(max(left, 0), min(left + side, background.shape[1]))
    inside = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    return _Placement(pixels, (rows, columns), inside)


def _paste_one(background: NDArray[np.uint8], face: Face, outscale: int) -> None:
    """Copy the inside of a face, whose weight is 1, and blend its border: half the time of blending everything."""
    pixels, region, inside = _place(background, face, outscale)
    side, target = pixels.shape[0], background[region]
    pixels, weights, inverse = pixels[inside], feather(side)[inside], _inverse_feather(side)[inside]
    (top, bottom), (left, right) = (_without_border(part, side) for part in inside)
    target[top:bottom, left:right] = pixels[top:bottom, left:right]
    middle = slice(top, bottom)
    for strip in (np.s_[:top], np.s_[bottom:], np.s_[middle, :left], np.s_[middle, right:]):
        if target[strip].size:
            target[strip] = cv2.blendLinear(pixels[strip], target[strip], weights[strip], inverse[strip])


def _without_border(part: slice, side: int) -> tuple[int, int]:
    """First and last position, relative to a part of a side, at which the feather is 1."""
    border = math.ceil(FEATHER * side)
    first = max(0, border - part.start)
    return first, max(first, min(part.stop, side - border) - part.start)


def _paste_group(background: NDArray[np.uint8], faces: list[Face], outscale: int) -> None:
    placements = [_place(background, face, outscale) for face in faces]
    (top, bottom), (left, right) = (
        (min(p.region[axis].start for p in placements), max(p.region[axis].stop for p in placements)) for axis in (0, 1)
    )
    weight = np.zeros((bottom - top, right - left, 1), np.float32)
    total = np.zeros((bottom - top, right - left, 3), np.float32)
    for pixels, (rows, columns), inside in placements:
        part = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        face_weight = feather(pixels.shape[0])[inside][..., None]
        weight[part] += face_weight
        total[part] += face_weight * pixels[inside]
    region = background[top:bottom, left:right]
    total += np.maximum(1 - weight, 0) * region
    region[:] = np.rint(total / np.maximum(weight, 1))
