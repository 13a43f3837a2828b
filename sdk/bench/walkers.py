"""Simulated cameras: people who walk through a view, with the noise of a camera, for benchmarks of live streams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import pi, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from ..pipeline.frame import Frame
from .scenes import Portrait, background

MIN_FACE, MAX_FACE = 18.0, 44.0
"""Range of the sizes of the faces in pixels of a 640x360 view: the longer side of the face box."""
SPEED = 40.0
"""Mean speed of a walker in pixels/s."""
STEP_HZ, BOB = 1.8, 0.05
"""Steps per second, and the height of the motion of the head, in face sizes."""
ZOOM = 0.12
"""Maximum change of a face's size during a walk, as a share."""
TURN_DEGREES = 4.0
"""Maximum roll of a head."""
NOISE = 2.0
"""Standard deviation of the camera's noise in gray levels."""


@dataclass(frozen=True)
class Walker:
    """One person.

    Args:
        portrait: index among the portraits.
        face: size of the face in pixels.
        y: height of the face in the view, pixels.
        x: at time 0, pixels.
        speed: pixels/s; negative to the left, 0 for a person who stands.
        phase: of the steps, radians.
    """

    portrait: int
    face: float
    y: float
    x: float
    speed: float
    phase: float


@dataclass(frozen=True, eq=False)
class View:
    """What a simulated camera sees.

    Args:
        background: (H, W, 3) uint8 BGR.
        portraits: of the walkers.
        walkers: nearest last.
        rate: frames/s.
        noise: standard deviation of the noise, gray levels.
    """

    background: NDArray[np.uint8]
    portraits: Sequence[Portrait]
    walkers: tuple[Walker, ...]
    rate: float
    noise: float = NOISE

    def frame(self, index: int) -> Frame:
        """Draw a frame; the same for the same index."""
        time_s = index / self.rate
        pixels = self.background.copy()
        for walker in self.walkers:
            _draw(pixels, self.portraits[walker.portrait % len(self.portraits)], walker, time_s)
        if self.noise:
            rng = np.random.default_rng(index)
            pixels = cv2.add(pixels, _noise(pixels.shape, self.noise, int(rng.integers(1 << 30))), dtype=cv2.CV_8U)
        return Frame(np.asarray(pixels, np.uint8), index, time_s)

    def frames(self, count: int) -> Iterator[Frame]:
        """The first frames, drawn one by one."""
        return map(self.frame, range(count))


def make_view(
    portraits: Sequence[Portrait],
    faces: int,
    *,
    seed: int = 0,
    size_wh: tuple[int, int] = (640, 360),
    rate: float = 10.0,
    speed: float = SPEED,
    noise: float = NOISE,
) -> View:
    """Make a view with a number of walkers in lanes of their own, so that they do not hide each other.

    Args:
        portraits: see `portraits_of`.
        faces: number of walkers.
        seed: of the view; the same for the same seed.
        size_wh: width and height, pixels.
        rate: frames/s.
        speed: mean speed in pixels/s; 0 for people who stand still, without steps.
        noise: standard deviation of the camera's noise, gray levels.
    """
    rng = np.random.default_rng(seed)
    width, height = size_wh
    walkers = []
    for lane in range(faces):
        face = float(rng.uniform(MIN_FACE, min(MAX_FACE, height / faces / 1.5))) * height / 360
        y = height * (lane + 0.5) / faces
        walking = speed * float(rng.uniform(0.5, 1.5)) * float(rng.choice((-1, 1))) if speed else 0.0
        x, phase = float(rng.uniform(0.1, 0.9)) * width, float(rng.uniform(0, 2 * pi))
        walkers.append(Walker(int(rng.integers(len(portraits))), face, y, x, walking, phase))
    walkers.sort(key=lambda walker: walker.face)
    return View(background(rng, width, height), portraits, tuple(walkers), rate, noise)


def _draw(pixels: NDArray[np.uint8], portrait: Portrait, walker: Walker, time_s: float) -> None:
    """Draw a person at a sub-pixel position, with a soft outline."""
    width, moves = pixels.shape[1], walker.speed != 0
    steps = 2 * pi * STEP_HZ * time_s + walker.phase
    face = walker.face * (1 + ZOOM * sin(0.5 * time_s + walker.phase) * moves)
    side = portrait.margin * face
    room = width + 2 * side  # a walker who leaves comes back on the other side
    x = (walker.x + walker.speed * time_s + side) % room - side
    y = walker.y + BOB * face * sin(2 * steps) * moves
    scale = side / len(portrait.pixels)
    roll = np.deg2rad(TURN_DEGREES * sin(steps) * moves)
    cos, sine = scale * np.cos(roll), scale * np.sin(roll)
    center = (len(portrait.pixels) - 1) / 2
    left, top = int(np.floor(x - side)), int(np.floor(y - side))
    canvas = int(np.ceil(2 * side)) + 1
    matrix = np.array(
        [[cos, -sine, x - left - cos * center + sine * center], [sine, cos, y - top - sine * center - cos * center]]
    )
    small = _antialiased(portrait, scale)
    shrink = len(small[0]) / len(portrait.pixels)
    matrix[:, :2] /= shrink
    rows = slice(max(top, 0), min(top + canvas, pixels.shape[0]))
    columns = slice(max(left, 0), min(left + canvas, width))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    inside = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    drawn, mask = (cv2.warpAffine(image, matrix, (canvas, canvas), flags=cv2.INTER_LINEAR)[inside] for image in small)
    pixels[rows, columns] = cv2.blendLinear(np.ascontiguousarray(drawn), pixels[rows, columns], mask, 1 - mask)


@lru_cache(maxsize=64)
def _antialiased(portrait: Portrait, scale: float) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A portrait at a resolution from which linear interpolation has no aliasing, and the weights of its outline."""
    pixels = portrait.pixels
    if scale < 0.9:
        side = max(8, round(1.1 * scale * len(pixels)))
        pixels = np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    side = len(pixels)
    y, x = (np.mgrid[:side, :side] + 0.5) / side * 2 - 1
    mask = np.clip((1 - np.hypot(x * 1.05, y)) / 0.15, 0, 1).astype(np.float32)
    return pixels, mask


@lru_cache(maxsize=4)
def _noise_field(height: int, width: int, sigma: float) -> NDArray[np.int16]:
    rng = np.random.default_rng(1)
    return np.rint(rng.normal(0, sigma, (2 * height, 2 * width, 3))).astype(np.int16)


def _noise(shape: tuple[int, ...], sigma: float, seed: int) -> NDArray[np.int16]:
    """Noise for a frame: a random window of one large field, which is faster than new noise."""
    height, width = shape[:2]
    field = _noise_field(height, width, sigma)
    y, x = seed % height, seed // height % width
    return field[y : y + height, x : x + width]
