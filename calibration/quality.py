"""How close a super-resolved face is to the true one: PSNR and SSIM as the papers count them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engines.errors import MissingDependencyError

MOST_DB = 99.0
"""What counts for equal pictures in a mean and on a card."""


def luma(pictures: NDArray[Any]) -> NDArray[np.float64]:
    """Y of BT.601 in studio range, 16 to 235, from BGR in 0 to 255; the last axis is dropped."""
    weights = np.array([24.966, 128.553, 65.481]) / 255
    return np.asarray(pictures.astype(np.float64) @ weights + 16)


def psnr(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each pair along the first axis, in dB, peak 255; equal pictures give inf."""
    error = ((a.astype(np.float64) - b.astype(np.float64)) ** 2).reshape(len(a), -1).mean(1)
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(255**2 / error))


def mean_db(decibels: NDArray[np.float64]) -> float:
    """Mean of `psnr`, in which a picture that came back exactly counts 99 dB, not infinitely many."""
    return float(np.minimum(decibels, MOST_DB).mean())


def psnr_y(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """`psnr` of the luma of (N, H, W, 3) BGR pictures, in dB."""
    return psnr(luma(a), luma(b))


def ssim_y(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Structural similarity of the luma of (N, H, W, 3) BGR pictures: 11×11 Gaussian window of sigma 1.5, peak 255.

    Source: Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004.

    Raises:
        MissingDependencyError: scikit-image is not installed.
    """
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        raise MissingDependencyError("scikit-image", "build", "SSIM") from None
    similarity: Callable[..., float] = structural_similarity
    options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return np.array([similarity(x, y, **options) for x, y in zip(luma(a), luma(b), strict=True)])
