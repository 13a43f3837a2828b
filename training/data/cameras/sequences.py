"""Record faces with a camera: sequences of whole frames, and the pairs of crops and their truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..optics import random_blur_kernel
from .background import Background, Backgrounds
from .chain import Chain
from .codec import recode
from .motion import Motion, random_motion
from .render import Face, Picture, draw_low, draw_truth, filter_face, pixel_kernel
from .sensor import expose, rounded

Images = NDArray[np.uint8]
FRAME_WH = (640, 360)
"""Size of the frames in pixels; faces are arranged in cells."""
MARGIN = 10
"""Room around each face in its cell, in pixels."""
LENS_SIGMA = 0.8
"""Blur of the background in pixels at a severity of 1."""


@dataclass(frozen=True)
class Cell:
    """Part of the frame that belongs to one face, in low-resolution pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def xywh(self) -> tuple[int, int, int, int]:
        """As a tuple."""
        return self.x, self.y, self.width, self.height


@dataclass(frozen=True, eq=False)
class Recording:
    """Decoded frames, and what is needed to draw their truth.

    Args:
        frames: (K, H, W, 3) uint8 BGR.
        times: of the frames, (K,) in frames from the start.
        gains: of the light, (K,).
        cells, faces: one entry for each face.
        background: behind the faces.
        scale: high-resolution pixels per pixel.
    """

    frames: Images
    times: tuple[int, ...]
    gains: tuple[float, ...]
    cells: tuple[Cell, ...]
    faces: tuple[Face, ...]
    background: Background
    scale: int

    def truth(self, number: int, face: int, x: int, y: int, side: int) -> Images:
        """Truth of a window of a frame: (scale·side, scale·side, 3) uint8 BGR at the frame's light.

        Args:
            number: index of the frame in `frames`.
            face: index of the face in the window; others are not drawn.
            x, y, side: of the window in low-resolution pixels.
        """
        window = self.background.window(self.scale * x, self.scale * y, self.scale * side)
        time = self.times[number]
        draw_truth(window, self.faces[face].at(time), time, (self.scale * x, self.scale * y))
        return rounded(np.float32(self.gains[number]) * window)


def cells_for(side: int, rng: np.random.Generator) -> list[Cell]:
    """Cells for faces of a side in low-resolution pixels, in a grid with a random phase to the block grid."""
    size = side + 2 * MARGIN
    columns, rows = FRAME_WH[0] // size, FRAME_WH[1] // size
    left = int(rng.integers(FRAME_WH[0] - columns * size + 1))
    top = int(rng.integers(FRAME_WH[1] - rows * size + 1))
    return [Cell(left + i * size, top + j * size, size, size) for j in range(rows) for i in range(columns)]


def record(
    pictures: Sequence[Picture],
    cells: Sequence[Cell],
    motions: Sequence[Motion],
    chain: Chain,
    backgrounds: Backgrounds,
    scale: int,
    keep: Sequence[int],
    rng: np.random.Generator,
) -> Recording:
    """Record pictures, one in each cell.

    Args:
        pictures: (H, W, 3) uint8 BGR at the size of the truth, each fits into its cell.
        cells, motions: of the pictures.
        keep: times of the frames to return.
    """
    taps = pixel_kernel(chain.pixel_filter, scale)
    faces = []
    for picture, motion in zip(pictures, motions, strict=True):
        lens = random_blur_kernel(scale, chain.blur, rng) if chain.blur else None
        faces.append(filter_face(picture, motion, taps, lens))
    return record_faces(faces, cells, chain, backgrounds, scale, keep, rng)


def record_faces(
    faces: Sequence[Face],
    cells: Sequence[Cell],
    chain: Chain,
    backgrounds: Backgrounds,
    scale: int,
    keep: Sequence[int],
    rng: np.random.Generator,
) -> Recording:
    """Record faces behind a lens, one in each cell; see `record`."""
    background = backgrounds.draw(*FRAME_WH, scale, LENS_SIGMA * chain.blur, rng)
    coded = _expose_all(faces, cells, background, chain, rng)
    for generation, codec in enumerate(chain.codecs, 1):
        coded = recode(coded, codec, keep if generation == len(chain.codecs) else range(chain.frames))
    frames = coded if chain.codecs else coded[list(keep)]
    gains = tuple(chain.sensor.gain * (1 + chain.drift * time) for time in keep)
    return Recording(frames, tuple(keep), gains, tuple(cells), tuple(faces), background, scale)


def _expose_all(
    faces: Sequence[Face], cells: Sequence[Cell], background: Background, chain: Chain, rng: np.random.Generator
) -> Images:
    """(T, H, W, 3) frames before the codec."""
    frames = np.empty((chain.frames, *background.low.shape), np.uint8)
    previous = None
    for time in range(chain.frames):
        light = background.low.copy()
        for face, cell in zip(faces, cells, strict=True):
            draw_low(light, face.at(time), time, background.scale, cell.xywh)
        if chain.drift:
            light *= np.float32(1 + chain.drift * time)
        previous = expose(light, chain.sensor, previous, rng)
        frames[time] = rounded(previous)
    return frames


def motion_in(cell: Cell, scale: int, frames: int, rng: np.random.Generator) -> Motion:
    """A random motion around the center of a cell that stays in its margin for most of a sequence."""
    center = (scale * (cell.x + cell.width / 2) - 0.5, scale * (cell.y + cell.height / 2) - 0.5)
    shift = rng.uniform(-0.4, 0.4, 2) * MARGIN * scale
    max_speed = scale * min(1.5, MARGIN / frames)
    return random_motion((center[0] + shift[0], center[1] + shift[1]), max_speed, rng)
