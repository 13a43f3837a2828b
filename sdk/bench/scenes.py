"""Frames with a given number of moving faces, for benchmarks: portraits pasted on a smooth background."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import pi, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.errors import InputError, UsageError
from ..pipeline.detect import Detector
from ..pipeline.frame import Frame
from .defaults import SIZES

MIN_SIDE, MAX_SIDE = 40, 72
"""Range of the sizes of the faces, in pixels: the longer side of the face box."""
MARGIN, MIN_MARGIN = 1.4, 1.0
"""Side of a pasted portrait relative to the size of its face, and the smallest that is used."""
PERIOD = 16
"""Frames after which a moving face is back at its place."""
MAX_SHIFT = 8
"""Maximum distance of a moving face from its place, in pixels."""
BACKGROUND_GRID = 64
"""Distance of the random colors between which the background is interpolated, in pixels."""


@dataclass(frozen=True, eq=False)
class Portrait:
    """A square image of a face."""

    pixels: NDArray[np.uint8]  # (s, s, 3) BGR
    margin: float  # side of the image relative to the longer side of the face box

    def resized(self, face: float) -> NDArray[np.uint8]:
        """The image with a face of `face` pixels."""
        side = round(self.margin * face)
        method = cv2.INTER_AREA if side < len(self.pixels) else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(self.pixels, (side, side), interpolation=method), np.uint8)


def portraits_of(images: Sequence[NDArray[np.uint8]], detector: Detector) -> list[Portrait]:
    """Cut a square around the best face of each image, up to `MARGIN` times its size.

    Args:
        images: (H, W, 3) uint8 BGR; those without a detected face, or with one that is cut off, are skipped.
        detector: finds the faces.

    Raises:
        InputError: no image is left.
    """
    portraits = [portrait for image in images if (portrait := _portrait(image, detector)) is not None]
    if not portraits:
        raise InputError(f"the detector finds no complete face in any of {len(images)} images; give other --faces")
    return portraits


def _portrait(image: NDArray[np.uint8], detector: Detector) -> Portrait | None:
    boxes = detector(image).boxes_xyxy[:1]
    if not len(boxes):
        return None
    x, y = (float(v) for v in (boxes[0, :2] + boxes[0, 2:]) / 2)
    face = float((boxes[0, 2:] - boxes[0, :2]).max())
    half = int(min(MARGIN * face / 2, x, y, image.shape[1] - x, image.shape[0] - y))
    if 2 * half < MIN_MARGIN * face:
        return None
    left, top = round(x) - half, round(y) - half
    return Portrait(image[top : top + 2 * half, left : left + 2 * half], 2 * half / face)


@dataclass(frozen=True, eq=False)
class Scene:
    """A view with moving faces.

    Args:
        size: key of `SIZES`.
        background: (H, W, 3) uint8 BGR.
        portraits: (s, s, 3) uint8 BGR, one for each face.
        corners: left and top of each portrait in its resting place, pixels.
        shift: maximum distance from there, pixels.
    """

    size: str
    background: NDArray[np.uint8]
    portraits: tuple[NDArray[np.uint8], ...]
    corners: tuple[tuple[int, int], ...]
    shift: int

    @property
    def faces(self) -> int:
        """Number of faces."""
        return len(self.portraits)

    def frame(self, index: int) -> Frame:
        """Draw a frame; each face moves on its own circle, a few pixels per frame."""
        pixels = self.background.copy()
        for number, (portrait, (left, top)) in enumerate(zip(self.portraits, self.corners, strict=True)):
            angle = 2 * pi * (index / PERIOD + number / self.faces)
            x, y = left + round(self.shift * sin(angle)), top + round(self.shift * sin(angle + pi / 2))
            side = len(portrait)
            pixels[y : y + side, x : x + side] = portrait
        return Frame(pixels, index, index / 25)

    def frames(self, count: int) -> Iterator[Frame]:
        """The first frames, drawn one by one."""
        return map(self.frame, range(count))


def make_scene(size: str, faces: int, portraits: Sequence[Portrait]) -> Scene:
    """Arrange faces of `MIN_SIDE` to `MAX_SIDE` pixels in a grid that fills the frame.

    Args:
        size: key of `SIZES`.
        faces: number of faces, at least 1.
        portraits: see `portraits_of`; repeated if there are fewer.

    Raises:
        UsageError: they do not fit into the frame.
    """
    (width, height), rng = SIZES[size], np.random.default_rng(0)
    columns, rows = _grid(width, height, faces)
    cell_width, cell_height = width // columns, height // rows
    sides = np.linspace(MIN_SIDE, MAX_SIDE, faces) if faces > 1 else [(MIN_SIDE + MAX_SIDE) / 2]
    pasted = [portraits[n % len(portraits)].resized(float(side)) for n, side in enumerate(rng.permutation(sides))]
    slack = min(cell_width, cell_height) - max(map(len, pasted))
    if slack < 2:
        raise UsageError(f"{faces} faces of up to {MAX_SIDE} px do not fit into {size}; give smaller --counts")
    corners = []
    for number, image in enumerate(pasted):
        row, column = divmod(number, columns)
        left, top = (cell_width - len(image)) // 2, (cell_height - len(image)) // 2
        corners.append((column * cell_width + left, row * cell_height + top))
    return Scene(size, background(rng, width, height), tuple(pasted), tuple(corners), min(MAX_SHIFT, slack // 2))


def _grid(width: int, height: int, faces: int) -> tuple[int, int]:
    """Columns and rows of the grid of at least `faces` cells whose shorter cell side is the largest."""
    grids = [(columns, -(-faces // columns)) for columns in range(1, faces + 1)]
    return max(grids, key=lambda grid: min(width / grid[0], height / grid[1]))


def background(rng: np.random.Generator, width: int, height: int) -> NDArray[np.uint8]:
    """Random colors without sharp edges, similar to a camera frame out of focus."""
    shape = height // BACKGROUND_GRID + 2, width // BACKGROUND_GRID + 2, 3
    colors = rng.integers(60, 190, shape).astype(np.uint8)
    return np.asarray(cv2.resize(colors, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
