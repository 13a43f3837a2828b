"""Camera optics and sensor: blur by lens, focus and motion, downsampling, sensor noise."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...networks.layers.bicubic import bicubic_matrix
from .augment import motion_blur_kernel

Kernel = NDArray[np.float32]
DOWNSCALE_FILTERS = ("bicubic", "area", "bilinear", "lanczos")
"""Filters of `downscale`, all widened by the scale against aliasing."""
_ZERO_LEVEL, _SIGMA = 32768, 4096
"""Level of zero and of one standard deviation of the noise while it is demosaiced in 16 bits."""


def gaussian_kernel(along: float, across: float, angle: float) -> Kernel:
    """Lens blur: anisotropic Gaussian with standard deviations in pixels along and across an angle in radians."""
    offset = _offsets(3 * max(along, across))
    x = offset * np.cos(angle) + offset[:, None] * np.sin(angle)
    y = offset[:, None] * np.cos(angle) - offset * np.sin(angle)
    return _normalized(np.exp(-0.5 * ((x / max(along, 0.05)) ** 2 + (y / max(across, 0.05)) ** 2)))


def disk_kernel(radius: float) -> Kernel:
    """Defocus blur: a disk of a radius in pixels with a soft edge."""
    offset = _offsets(radius + 0.5)
    return _normalized(np.clip(radius + 0.5 - np.hypot(offset, offset[:, None]), 0, 1))


def random_blur_kernel(scale: int, severity: float, rng: np.random.Generator) -> Kernel:
    """An isotropic or anisotropic Gaussian, a disk or a motion blur.

    The strength is calibrated on four small faces of two videos only: at a fifth of a cycle per pixel they have less
    energy than a bicubic face after a Gaussian of 1 px, so on their own grid they are softer than the papers' faces.

    Args:
        scale: high-resolution pixels per low-resolution pixel.
        severity: 0 for no blur, 1 for a bad camera.
    """
    kind = rng.choice(4, p=(0.3, 0.3, 0.15, 0.25))
    first, second = rng.uniform(0.3 * severity, severity, 2) * scale
    angle = float(rng.uniform(0, np.pi))
    if kind == 0:
        return gaussian_kernel(1.3 * first, 1.3 * first, 0)
    if kind == 1:
        return gaussian_kernel(1.6 * first, 1.1 * second, angle)
    return disk_kernel(2.0 * first) if kind == 2 else motion_blur_kernel(4.0 * first, angle)


def blur(picture: NDArray[Any], kernel: Kernel) -> NDArray[np.float32]:
    """(H, W, 3) of any real dtype -> (H, W, 3) float32, with mirrored borders."""
    return np.asarray(cv2.filter2D(picture.astype(np.float32), -1, kernel), np.float32)


def downscale(picture: NDArray[np.float32], scale: int, filter_name: str) -> NDArray[np.float32]:
    """Downsample by one of `DOWNSCALE_FILTERS`, on the grid of the papers' bicubic.

    Pixel x is at scale·x + (scale - 1) / 2. (H, W, 3), H and W multiples of the scale -> (H / scale, W / scale, 3),
    not rounded and not clipped.
    """
    height, width = picture.shape[:2]
    transposed = _product(_matrix(filter_name, height, height // scale), picture)  # (W, H / scale, 3)
    return _product(_matrix(filter_name, width, width // scale), transposed)


def _product(matrix: NDArray[np.float32], picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """(M, H) times (H, W, 3), transposed to (W, M, 3).

    With OpenCV, as BLAS starts threads that wait for each other when all cores are busy.
    """
    empty = np.zeros((0, 0), np.float32)
    product = cv2.gemm(matrix, np.ascontiguousarray(picture).reshape(len(picture), -1), 1, empty, 0)
    return np.asarray(product.reshape(len(matrix), -1, 3).swapaxes(0, 1), np.float32)


@lru_cache(maxsize=32)
def _matrix(filter_name: str, n_in: int, n_out: int) -> NDArray[np.float32]:
    """(n_out, n_in) resampling matrix; each row sums to 1."""
    if filter_name == "bicubic":
        return np.ascontiguousarray(bicubic_matrix(n_in, n_out), np.float32)
    ratio = n_in / n_out
    x = np.abs(np.arange(n_in) + 0.5 - (np.arange(n_out)[:, None] + 0.5) * ratio) / ratio
    filters = {
        "area": (x < 0.5).astype(float),
        "bilinear": np.clip(1 - x, 0, None),
        "lanczos": np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0),
    }
    return np.asarray(filters[filter_name] / filters[filter_name].sum(1, keepdims=True), np.float32)


def _offsets(radius: float) -> NDArray[np.int64]:
    side = int(np.ceil(radius))
    return np.arange(-side, side + 1)


def _normalized(kernel: NDArray[np.float64]) -> Kernel:
    return np.asarray(kernel / kernel.sum(), np.float32)


def sensor_noise(pictures: NDArray[np.float32], noise: NDArray[Any], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add shot and read noise of a Bayer sensor, then round to 8 bits.

    In linear light the variance is a·x + b²: shot noise and read noise. After gamma the former is equal in all gray
    levels, and the latter matters in dark areas only. Each sensor pixel measures one color, so demosaicing spreads the
    noise of a channel over its neighbors, more for red and blue than for green.

    Args:
        pictures: (N, H, W, 3) BGR, 0 to 255.
        noise: (N,) standard deviation of the shot noise of a sensor pixel, in levels of 255.
    """
    shot = (2 * np.asarray(noise, np.float32) / 255) ** 2  # (N,), variance for x = 1
    read = shot * rng.uniform(0.002, 0.06, len(shot)).astype(np.float32)
    light = (np.clip(pictures, 0, 255) / 255) ** 2  # gamma 2 approximates that of sRGB
    variance = shot[:, None, None, None] * light + read[:, None, None, None]
    light = np.clip(light + np.sqrt(variance) * demosaiced_noise(pictures.shape[:3], rng), 0, 1)
    return np.asarray(np.rint(255 * np.sqrt(light)), np.uint8)


def demosaiced_noise(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """(N, H, W) -> (N, H, W, 3): white noise of standard deviation 1 on the Bayer mosaic, then demosaiced."""
    n, height, width = shape
    raw = np.clip(_ZERO_LEVEL + _SIGMA * rng.standard_normal((n * height, width), np.float32), 0, 65535)
    rgb = cv2.demosaicing(raw.astype(np.uint16), cv2.COLOR_BayerRG2BGR)  # all pictures stacked vertically
    return np.asarray((rgb.astype(np.float32) - _ZERO_LEVEL) / _SIGMA, np.float32).reshape(n, height, width, 3)
