"""Image metrics: PSNR, SSIM and VIF, on luma or RGB, as reported in super-resolution papers."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]

LUMA = (24.966, 128.553, 65.481)
"""Contributions of full blue, green and red to Y in the studio range of BT.601; their sum is 219."""
MAX_DB = 99.0
"""PSNR of equal images in a mean and on a card."""
SCALES = 4
VISUAL_NOISE = 2.0
"""Variance of the noise of the human visual system in VIF, in squared gray levels."""
MIN_VARIANCE = 1e-10
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def luma(images: NDArray[Any]) -> NDArray[np.float64]:
    """Y of BT.601 in studio range, 16..235, from BGR in 0..255, (..., 3) -> (...)."""
    return np.asarray(images.astype(np.float64) @ (np.array(LUMA) / 255) + 16)


def psnr(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each pair along the first axis, in dB, peak 255; inf for equal images."""
    mse = ((a.astype(np.float64) - b.astype(np.float64)) ** 2).reshape(len(a), -1).mean(1)
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(255**2 / mse))


def mean_db(psnrs_db: NDArray[np.float64]) -> float:
    """Mean of `psnr` values; those of equal images count as `MAX_DB` instead of inf."""
    return float(np.minimum(psnrs_db, MAX_DB).mean())


def psnr_y(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """`psnr` of the luma of (N, H, W, 3) BGR images, in dB."""
    return psnr(luma(a), luma(b))


def ssim_y(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Structural similarity of the luma of (N, H, W, 3) BGR images, (N,); see `ssim`."""
    return np.array([_ssim(x, y) for x, y in zip(luma(a), luma(b), strict=True)])


def ssim(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Structural similarity of (N, H, W, 3) images, averaged over their channels, 0..1, (N,).

    Gaussian window of 11×11 with sigma 1.5, peak 255, valid region only.

    Source: Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004.
    """
    channels = range(a.shape[-1])
    pairs = zip(a.astype(np.float64), b.astype(np.float64), strict=True)
    return np.array([np.mean([_ssim(x[..., c], y[..., c]) for c in channels]) for x, y in pairs])


def local_mean(plane: Plane, window: NDArray[Any]) -> Plane:
    """Separable filter with a window (n, 1), n odd, valid region only: (H, W) -> (H - n + 1, W - n + 1)."""
    edge = len(window) // 2
    return np.asarray(cv2.sepFilter2D(plane, cv2.CV_64F, window, window)[edge:-edge, edge:-edge], np.float64)


def _ssim(a: Plane, b: Plane) -> float:
    window = cv2.getGaussianKernel(11, 1.5, cv2.CV_64F)
    mean_a, mean_b = local_mean(a, window), local_mean(b, window)
    variances = local_mean(a * a + b * b, window) - mean_a**2 - mean_b**2
    covariance = local_mean(a * b, window) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure = (2 * covariance + _C2) / (variances + _C2)
    return float((luminance * structure).mean())


def vif_y(sr: NDArray[Any], hr: NDArray[Any]) -> Plane:
    """Visual information fidelity of the luma, in the pixel domain.

    Source: H. R. Sheikh and A. C. Bovik, "Image information and visual quality", 2006; Gaussian windows of 17, 9, 5 and
    3 px at four scales, as in the authors' pixel-domain implementation.

    Args:
        sr: (N, H, W, 3) upscaled images, BGR in 0..255; H and W at least 41, the minimum for the coarsest scale.
        hr: ground truth.

    Returns:
        (N,): 1 for equal images, lower with more loss, above 1 if contrast was added. A flat ground truth has no
        information and gives 1.
    """
    return np.array([_vif(x, y) for x, y in zip(luma(sr), luma(hr), strict=True)])


def _vif(sr: Plane, hr: Plane) -> float:
    preserved = total = 0.0
    for scale in range(SCALES):
        size = 2 ** (SCALES - scale) + 1
        window = cv2.getGaussianKernel(size, size / 5, cv2.CV_64F)
        if scale:
            sr, hr = local_mean(sr, window)[::2, ::2], local_mean(hr, window)[::2, ::2]
        mean_sr, mean_hr = local_mean(sr, window), local_mean(hr, window)
        var_sr = np.maximum(local_mean(sr * sr, window) - mean_sr**2, 0)
        var_hr = np.maximum(local_mean(hr * hr, window) - mean_hr**2, 0)
        covariance = local_mean(sr * hr, window) - mean_sr * mean_hr
        correlated = (var_hr > MIN_VARIANCE) & (var_sr > MIN_VARIANCE) & (covariance > 0)
        gain = np.where(correlated, covariance / (var_hr + MIN_VARIANCE), 0.0)
        distortion = np.maximum(var_sr - gain * covariance, MIN_VARIANCE)
        preserved += float(np.log10(1 + gain**2 * var_hr / (distortion + VISUAL_NOISE)).sum())
        total += float(np.log10(1 + var_hr * (var_hr > MIN_VARIANCE) / VISUAL_NOISE).sum())
    return preserved / total if total else 1.0
