"""Expressions of a face: it blinks or speaks, by a warp around its landmarks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .render import Picture

STAGES = 4
"""Stages of a blink or of a mouth that opens, the first one at rest."""
BLINK = (1, 2, 3, 3, 2, 1)
"""Stages of a blink in consecutive frames: a quarter of a second at 25 frames/s."""
LID, LIP = 0.21, 0.15
"""How far a lid and a lower lip move at most, relative to the distance of the eyes."""
EYE_WIDTH, EYE_HEIGHT = 0.28, 0.16
"""Reach of a lid, relative to the distance of the eyes."""
MOUTH_WIDTH, LIP_HEIGHT, JAW_HEIGHT = 0.5, 0.15, 0.7
"""Reach of a mouth beside it, from its middle to the lip, and to the chin, relative to the distance of the eyes."""
SYLLABLES = (0.4, 1.0)
"""Range of the speed of a mouth, radians per frame: 1.6 to 4 times per second at 25 frames/s."""


def blinking(picture: Picture, points_xy: NDArray[np.float32]) -> list[Picture]:
    """A face at rest and in the stages of a blink.

    Args:
        picture: (H, W, 3) uint8 BGR.
        points_xy: (5, 2) eyes, nose and corners of the mouth, pixels.

    Returns:
        `STAGES` pictures.
    """
    x, y, unit = _positions(picture, points_xy)
    lids = [
        np.exp(-np.square((x - eye[0]) / (EYE_WIDTH * unit)) - np.square((y - eye[1]) / (EYE_HEIGHT * unit)))
        for eye in points_xy[:2]
    ]
    return _stages(picture, x, y, LID * unit * (lids[0] + lids[1]))


def speaking(picture: Picture, points_xy: NDArray[np.float32]) -> list[Picture]:
    """A face at rest and in the stages of a mouth that opens; arguments as in `blinking`."""
    x, y, unit = _positions(picture, points_xy)
    middle = points_xy[3:].mean(0)
    beside = np.exp(-np.square((x - middle[0]) / (MOUTH_WIDTH * unit)))
    below = (y - middle[1]) / unit
    lip, jaw = np.clip(below / LIP_HEIGHT, 0, 1), np.exp(-np.square(np.clip(below / JAW_HEIGHT, 0, None)))
    return _stages(picture, x, y, LIP * unit * beside * lip * jaw)


def random_blink(frames: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Stage at each of the frames: one blink, which may begin before them."""
    stages = np.zeros(frames + 2 * len(BLINK), int)
    start = int(rng.integers(1, frames + len(BLINK)))
    stages[start : start + len(BLINK)] = BLINK
    return tuple(int(stage) for stage in stages[len(BLINK) : len(BLINK) + frames])


def random_speech(frames: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Stage at each of the frames: the mouth opens and closes."""
    phase, speed = rng.uniform(0, 2 * np.pi), rng.uniform(*SYLLABLES)
    opened = 0.5 - 0.5 * np.cos(phase + speed * np.arange(frames))
    return tuple(int(stage) for stage in np.rint(opened * (STAGES - 1)))


def _positions(
    picture: Picture, points_xy: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """x and y of each pixel, (H, W), and the distance of the eyes, in pixels."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    return x, y, float(np.hypot(*(points_xy[1] - points_xy[0])))


def _stages(
    picture: Picture, x: NDArray[np.float32], y: NDArray[np.float32], pull: NDArray[np.float32]
) -> list[Picture]:
    """The picture, its pixels moved down by a growing part of `pull`, (H, W) pixels."""
    return [
        np.asarray(
            cv2.remap(
                picture, x, y - pull * np.float32(stage / (STAGES - 1)), cv2.INTER_CUBIC, None, cv2.BORDER_REFLECT
            ),
            np.uint8,
        )
        for stage in range(STAGES)
    ]
