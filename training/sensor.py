"""The noise of a sensor: of light and of electronics, as it looks after demosaicing and gamma."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_MIDDLE, _UNIT = 32768, 4096
"""Nought and one deviation of the noise while it is demosaiced in 16 bits."""


def noisy(pictures: NDArray[np.float32], grain: NDArray[Any], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add what the sensor adds, then round to 8 bits.

    In linear light the variance is a·x + b²: photons, then electronics. Gamma makes the former the same in every grey,
    and leaves the latter to the dark. Each pixel of the sensor sees one colour, so the noise of a channel spreads over
    its neighbours; red and blue in coarser blots than green.

    Args:
        pictures: (N, H, W, 3) BGR, 0 to 255.
        grain: (N,) deviation of a pixel of the sensor that photons cause, in levels of 255.
        rng: what is drawn from.
    """
    photons = (2 * np.asarray(grain, np.float32) / 255) ** 2  # (N,), variance for x = 1
    electronics = photons * rng.uniform(0.002, 0.06, len(photons)).astype(np.float32)
    light = (np.clip(pictures, 0, 255) / 255) ** 2  # gamma 2, near enough to sRGB's
    variance = photons[:, None, None, None] * light + electronics[:, None, None, None]
    light = np.clip(light + np.sqrt(variance) * _mosaic_noise(pictures.shape[:3], rng), 0, 1)
    return np.asarray(np.rint(255 * np.sqrt(light)), np.uint8)


def _mosaic_noise(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """(N, H, W) -> (N, H, W, 3): white on the mosaic with a deviation of 1, then interpolated to three channels."""
    n, height, width = shape
    raw = np.clip(_MIDDLE + _UNIT * rng.standard_normal((n * height, width), np.float32), 0, 65535)
    colours = cv2.demosaicing(raw.astype(np.uint16), cv2.COLOR_BayerRG2BGR)  # all pictures in one, one below the other
    return np.asarray((colours.astype(np.float32) - _MIDDLE) / _UNIT, np.float32).reshape(n, height, width, 3)
