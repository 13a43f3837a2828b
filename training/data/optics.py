"""What happens to light before it is pixels: blur of lens, focus and motion, and the shrinking to the crop."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...networks.layers.bicubic import bicubic_matrix
from .augment import motion_blur_kernel

Kernel = NDArray[np.float32]
SHRINKS = ("bicubic", "area", "bilinear", "lanczos")
"""Filters of `shrunken`; each as wide as the scale asks, so that nothing is aliased."""


def gaussian(along: float, across: float, angle: float) -> Kernel:
    """Blur of a lens: deviations in pixels along and across a direction in radians; of 0 and 0, none."""
    offset = _offsets(3 * max(along, across))
    x = offset * np.cos(angle) + offset[:, None] * np.sin(angle)
    y = offset[:, None] * np.cos(angle) - offset * np.sin(angle)
    return _of_sum_one(np.exp(-0.5 * ((x / max(along, 0.05)) ** 2 + (y / max(across, 0.05)) ** 2)))


def disc(radius: float) -> Kernel:
    """Blur of a face out of focus: a disc of a radius in pixels, with a soft rim."""
    offset = _offsets(radius + 0.5)
    return _of_sum_one(np.clip(radius + 0.5 - np.hypot(offset, offset[:, None]), 0, 1))


def random_blur(scale: int, worst: float, rng: np.random.Generator) -> Kernel:
    """A round or an oblong Gaussian, a disc or a trail, none stronger than a camera has them.

    Four small faces of two videos, all that was looked at, have less at a fifth of a cycle a pixel than a Gaussian of
    1 px leaves of a face that was shrunk by bicubic: at their own grid they are softer than the papers' faces.

    Args:
        scale: pixels of the picture in one of the crop.
        worst: 0 for a camera without blur, 1 for a bad one.
        rng: what is drawn from.
    """
    kind = rng.choice(4, p=(0.3, 0.3, 0.15, 0.25))
    first, second = rng.uniform(0.3 * worst, worst, 2) * scale
    angle = float(rng.uniform(0, np.pi))
    if kind == 0:
        return gaussian(1.3 * first, 1.3 * first, 0)
    if kind == 1:
        return gaussian(1.6 * first, 1.1 * second, angle)
    return disc(2.0 * first) if kind == 2 else motion_blur_kernel(4.0 * first, angle)


def blurred(picture: NDArray[Any], kernel: Kernel) -> NDArray[np.float32]:
    """(H, W, 3) of any real type -> (H, W, 3) float32, mirrored at its border."""
    return np.asarray(cv2.filter2D(picture.astype(np.float32), -1, kernel), np.float32)


def shrunken(picture: NDArray[np.float32], scale: int, shrink: str) -> NDArray[np.float32]:
    """Shrink a picture on the grid of the papers' bicubic, pixel x at scale·x + (scale - 1) / 2.

    Args:
        picture: (H, W, 3); H and W are multiples of the scale.
        scale: by how much.
        shrink: one of `SHRINKS`.

    Returns:
        (H / scale, W / scale, 3), not rounded and not clipped.
    """
    height, width = picture.shape[:2]
    turned = _product(_matrix(shrink, height, height // scale), picture)  # (W, H / scale, 3)
    return _product(_matrix(shrink, width, width // scale), turned)


_NOTHING = np.zeros((0, 0), np.float32)


def _product(matrix: NDArray[np.float32], picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """(M, H) times (H, W, 3), with the sides swapped: (W, M, 3).

    By OpenCV, as BLAS starts threads that wait for each other where cores are busy.
    """
    product = cv2.gemm(matrix, np.ascontiguousarray(picture).reshape(len(picture), -1), 1, _NOTHING, 0)
    return np.asarray(product.reshape(len(matrix), -1, 3).swapaxes(0, 1), np.float32)


@lru_cache(maxsize=32)
def _matrix(shrink: str, n_in: int, n_out: int) -> NDArray[np.float32]:
    """(n_out, n_in), each row of sum 1."""
    if shrink == "bicubic":
        return np.ascontiguousarray(bicubic_matrix(n_in, n_out), np.float32)
    stretch = n_in / n_out
    x = np.abs(np.arange(n_in) + 0.5 - (np.arange(n_out)[:, None] + 0.5) * stretch) / stretch
    shapes = {
        "area": (x < 0.5).astype(float),
        "bilinear": np.clip(1 - x, 0, None),
        "lanczos": np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0),
    }
    return np.asarray(shapes[shrink] / shapes[shrink].sum(1, keepdims=True), np.float32)


def _offsets(reach: float) -> NDArray[np.int64]:
    side = int(np.ceil(reach))
    return np.arange(-side, side + 1)


def _of_sum_one(kernel: NDArray[np.float64]) -> Kernel:
    return np.asarray(kernel / kernel.sum(), np.float32)


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
