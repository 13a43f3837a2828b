"""Motion of a head over a short sequence: it walks, shakes, turns, nods and comes closer; it blinks and speaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .motion import Matrix

Picture = NDArray[np.uint8]
LEVELS = 4
"""Stages of a blink or of a mouth that opens, the first one at rest."""
BLINK = (1, 2, 3, 3, 2, 1)
"""Stages of a blink in frames: a quarter of a second at 25 frames/s."""
LID, MOUTH = 0.085, 0.06
"""How far a lid and a lower lip move, relative to the side of the picture."""


@dataclass(frozen=True)
class HeadMotion:
    """Motion of a picture that ends at a place: earlier frames show it shifted, turned and scaled.

    Args:
        end: time of the last frame.
        center_xy: of the picture at the end, in high-resolution pixels.
        velocity_xy: pixels per frame.
        angle: at the end, in radians; `turn` is added per frame.
        zoom, stretch: growth per frame as a fraction, of both axes, and of the width alone: a head that turns away.
        shake_xy: deviation from the uniform motion at each time, (end + 1) entries, the last one zero.
    """

    end: int
    center_xy: tuple[float, float]
    velocity_xy: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    turn: float = 0.0
    zoom: float = 0.0
    stretch: float = 0.0
    shake_xy: tuple[tuple[float, float], ...] = ()

    rigid = False
    whole_pixels = False

    def at(self, time: float, width: int, height: int) -> Matrix:
        """Map of the picture's pixel centers (x, y) to positions in the frame; whole pixels at the end, if upright."""
        half = np.array((width - 1, height - 1)) / 2
        past = time - self.end
        center = np.array(self.center_xy) + past * np.array(self.velocity_xy)
        if self.shake_xy:
            center += self.shake_xy[int(time)]
        scale, angle = 1 + self.zoom * past, self.angle + self.turn * past
        turned = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turned @ np.diag((1 + self.stretch * past, 1.0))
        offset = center - matrix @ half
        if past == 0 and not self.angle:
            offset = np.rint(offset)
        return np.column_stack((matrix, offset))


def random_head_motion(
    center_xy: tuple[float, float], end: int, max_speed: float, scale: int, rng: np.random.Generator
) -> HeadMotion:
    """Four of five heads move; half of those also turn, nod or come closer; a third is shaken.

    Args:
        center_xy: at the end, in high-resolution pixels.
        max_speed: in high-resolution pixels per frame.
        scale: high-resolution pixels per pixel.
    """
    velocity = rng.uniform(-max_speed, max_speed, 2) * (rng.random() < 0.8)
    turns = rng.random() < 0.5
    angle = np.deg2rad(rng.normal(0, 8)) if rng.random() < 0.2 else 0.0
    shake = scale * rng.uniform(0, 0.4) * (rng.random() < 0.35)
    shakes = rng.normal(0, 1, (end + 1, 2)) * shake
    shakes[-1] = 0
    return HeadMotion(
        end,
        center_xy,
        (float(velocity[0]), float(velocity[1])),
        float(angle),
        float(np.deg2rad(rng.uniform(-1, 1))) * turns,
        float(rng.uniform(-0.006, 0.006)) * turns,
        float(rng.uniform(-0.008, 0.008)) * turns,
        tuple((float(x), float(y)) for x, y in shakes),
    )


def expressions(picture: Picture, points_xy: NDArray[np.float32], mouth: bool) -> list[Picture]:
    """A face at rest and in the stages of a blink, or of a mouth that opens.

    Args:
        picture: (H, W, 3) BGR.
        points_xy: (5, 2) eyes, nose and mouth corners, pixels.
        mouth: the mouth opens; else the eyes close.

    Returns:
        `LEVELS` pictures.
    """
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    eyes, corners = points_xy[:2], points_xy[3:]
    unit = float(np.hypot(*(eyes[1] - eyes[0])))
    pull = np.zeros_like(x)
    if mouth:
        middle = corners.mean(0)
        reach = np.exp(-(((x - middle[0]) / (0.5 * unit)) ** 2))
        below = np.clip((y - middle[1]) / (0.15 * unit), 0, 1) * np.exp(-((y - middle[1]) / (0.7 * unit)).clip(0) ** 2)
        pull = MOUTH * unit / 0.4 * reach * below
    else:
        for eye in eyes:
            pull += np.exp(-(((x - eye[0]) / (0.28 * unit)) ** 2) - ((y - eye[1]) / (0.16 * unit)) ** 2)
        pull *= LID * unit / 0.4
    return [
        np.asarray(cv2.remap(picture, x, y - pull * level / (LEVELS - 1), cv2.INTER_CUBIC, None, cv2.BORDER_REFLECT), np.uint8)
        for level in range(LEVELS)
    ]


def random_stages(frames: int, mouth: bool, rng: np.random.Generator) -> Sequence[int]:
    """Stage of the expression at each of the frames."""
    if mouth:  # opens and closes about three times a second
        phase, rate = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.0)
        wave = 0.5 - 0.5 * np.cos(phase + rate * np.arange(frames))
        return [int(level) for level in np.rint(wave * (LEVELS - 1))]
    stages = np.zeros(frames, int)
    start = int(rng.integers(-len(BLINK) + 1, frames))
    for number, stage in enumerate(BLINK, start):
        if 0 <= number < frames:
            stages[number] = stage
    return [int(stage) for stage in stages]
