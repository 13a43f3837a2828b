"""How a face becomes small: by bicubic alone, as the papers shrink it, or as a camera would see it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...calibration.data.faces import low_resolution
from ...calibration.metrics.evaluate import Degrade, Pictures
from .codecs import h264, jpeg
from .optics import SHRINKS, blurred, noisy, random_blur, shrunken

CLEAN = 0.1
"""Share of faces that `camera` shrinks by bicubic and leaves alone, so that clean input is not forgotten."""
CODECS = {"h264": 0.5, "jpeg": 0.3, "none": 0.2}
"""How often `camera` compresses by which codec."""
GRAIN = 12.0
"""Noise of the worst sensor, see `noisy`."""
QUALITY = (30, 96)
"""JPEG's, from and up to but without."""
CRF = (18, 36)
"""H.264's rate factor, likewise."""
_TOGETHER = 8
"""Films in one picture: they share a rate factor, and the cost of a codec's start."""
_FRAMES = 4
"""Of a film: a face moves through them, and comes to rest in the last, which counts."""


def bicubic(faces: Pictures, scale: int, rng: np.random.Generator) -> Pictures:
    """The papers' degradation: antialiased bicubic, rounded to 8 bits; nothing is left to chance."""
    return low_resolution(faces, scale)


def camera(faces: Pictures, scale: int, rng: np.random.Generator) -> Pictures:
    """What a camera and its recorder leave of faces: blur, a filter that shrinks, noise, then H.264, JPEG or neither.

    Every face has a camera of its own, from nearly clean to bad: the worst of it is drawn first, blur and noise between
    none and that; its recorder is drawn apart. The grid stays that of bicubic.
    """
    n, height, width, _ = faces.shape
    small = np.zeros((n, height // scale, width // scale, 3), np.uint8)
    clean = rng.random((n,)) < CLEAN
    if clean.any():
        small[clean] = low_resolution(faces[clean], scale)
    worst = np.sqrt(rng.random((n,)))  # more often bad than good: a choice, see `random_blur`
    grain = GRAIN * worst * rng.random((n,))
    codec = rng.choice(list(CODECS), n, p=list(CODECS.values()))
    seen = np.flatnonzero(~clean)
    plain = np.zeros((len(seen), *small.shape[1:]), np.float32)
    for picture, i in zip(plain, seen, strict=True):
        blur = random_blur(scale, worst[i], rng)
        picture[:] = shrunken(blurred(faces[i], blur), scale, SHRINKS[rng.integers(len(SHRINKS))])
    small[seen] = _recorded(plain, grain[seen], codec[seen], rng)
    return small


def _recorded(
    plain: NDArray[np.float32], grain: NDArray[Any], codec: NDArray[Any], rng: np.random.Generator
) -> Pictures:
    """(N, H, W, 3) light on sensors of some grain, (N,), recorded by a codec each, (N,)."""
    small = np.zeros(plain.shape, np.uint8)
    still = np.flatnonzero(codec != "h264")
    if len(still):
        small[still] = noisy(plain[still], grain[still], rng)
    for i in still[codec[still] == "jpeg"]:
        small[i] = jpeg(small[i], int(rng.integers(*QUALITY)), rng)
    filmed = np.flatnonzero(codec == "h264")
    for start in range(0, len(filmed), _TOGETHER):
        some = filmed[start : start + _TOGETHER]
        films = np.concatenate([_moving(plain[i], rng) for i in some])  # (N·T, H, W, 3)
        frames = noisy(films, np.repeat(grain[some], _FRAMES), rng).reshape(len(some), _FRAMES, *films.shape[1:])
        small[some] = h264(frames.swapaxes(0, 1), int(rng.integers(*CRF)), rng)
    return small


def _moving(picture: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """(H, W, 3) -> (T, H, W, 3): the picture on a straight way to its place, at 2 pixels a frame at most."""
    speed, angle = rng.uniform(0, 2), rng.uniform(0, 2 * np.pi)
    height, width = picture.shape[:2]
    film: list[Any] = []
    for left in range(_FRAMES - 1, 0, -1):
        move = np.array(((1, 0, left * speed * np.cos(angle)), (0, 1, left * speed * np.sin(angle))))
        film.append(cv2.warpAffine(picture, move, (width, height), borderMode=cv2.BORDER_REPLICATE))
    return np.stack([*film, picture])


DEGRADATIONS: dict[str, Degrade] = {"bicubic": bicubic, "camera": camera}
"""Names of a recipe's `degradation`."""
