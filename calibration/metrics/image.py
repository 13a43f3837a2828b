"""How close a super-resolved face is to the true one: PSNR and SSIM as the papers count them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]

LUMA = (24.966, 128.553, 65.481)
"""Levels of Y that full blue, green and red are worth in BT.601's studio range, 219 in all."""
MAX_DB = 99.0
"""What counts for equal pictures in a mean and on a card."""


def luma(pictures: NDArray[Any]) -> NDArray[np.float64]:
    """Y of BT.601 in studio range, 16 to 235, from BGR in 0 to 255; the last axis is dropped."""
    return np.asarray(pictures.astype(np.float64) @ (np.array(LUMA) / 255) + 16)


def psnr(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each pair along the first axis, in dB, peak 255; equal pictures give inf."""
    error = ((a.astype(np.float64) - b.astype(np.float64)) ** 2).reshape(len(a), -1).mean(1)
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(255**2 / error))


def mean_db(decibels: NDArray[np.float64]) -> float:
    """Mean of `psnr`, in which a picture that came back exactly counts 99 dB, not infinitely many."""
    return float(np.minimum(decibels, MAX_DB).mean())


def psnr_y(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """`psnr` of the luma of (N, H, W, 3) BGR pictures, in dB."""
    return psnr(luma(a), luma(b))


def ssim_y(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Structural similarity of the luma of (N, H, W, 3) BGR pictures, (N,); see `ssim`."""
    return np.array([_similarity(x, y) for x, y in zip(luma(a), luma(b), strict=True)])


def ssim(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Structural similarity of (N, H, W, 3) pictures, 0..1, the mean of their channels.

    With a Gaussian window of 11×11 and sigma 1.5, peak 255, where the window lies within the picture.

    Source: Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004.
    """
    channels = range(a.shape[-1])
    pairs = zip(a.astype(np.float64), b.astype(np.float64), strict=True)
    return np.array([np.mean([_similarity(x[..., c], y[..., c]) for c in channels]) for x, y in pairs])


def local_mean(plane: Plane, window: NDArray[Any]) -> Plane:
    """Weighted mean round each pixel that has all its neighbours: (H, W) -> (H - n + 1, W - n + 1).

    Args:
        plane: values.
        window: (n, 1) weights, n odd, of rows and columns alike.
    """
    edge = len(window) // 2
    filtered = cv2.sepFilter2D(plane, cv2.CV_64F, window, window)
    return np.asarray(filtered[edge:-edge, edge:-edge], np.float64)


def _similarity(a: Plane, b: Plane) -> float:
    window = cv2.getGaussianKernel(11, 1.5, cv2.CV_64F)
    mean_a, mean_b = local_mean(a, window), local_mean(b, window)
    spread = local_mean(a * a + b * b, window) - mean_a**2 - mean_b**2
    both = local_mean(a * b, window) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure = (2 * both + _C2) / (spread + _C2)
    return float((luminance * structure).mean())


_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


SCALES = 4
EYE_NOISE = 2.0
"""Variance of the noise that the eye itself adds, in squared grey levels."""
LEAST_VARIANCE = 1e-10
LEAST_SIDE = 41
"""Below it nothing is left of a picture at the coarsest scale, in pixels."""


def vif_y(a: NDArray[Any], b: NDArray[Any]) -> Plane:
    """Visual information fidelity of the luma, in the pixel domain.

    Source: H. R. Sheikh and A. C. Bovik, "Image information and visual quality", 2006; with Gaussian windows of 17, 9,
    5 and 3 pixels at four scales, as its authors' own program in the pixel domain has them.

    Args:
        a: (N, H, W, 3) BGR in 0 to 255, as they came back; H and W at least 41.
        b: the true ones.

    Returns:
        (N,): 1 for equal pictures, less the more is lost; above 1 where contrast was gained. A true picture that is
        flat holds no information to lose and counts 1.
    """
    return np.array([_fidelity(x, y) for x, y in zip(luma(a), luma(b), strict=True)])


def _fidelity(seen: Plane, true: Plane) -> float:
    kept = there = 0.0
    for scale in range(SCALES):
        size = 2 ** (SCALES - scale) + 1
        window = cv2.getGaussianKernel(size, size / 5, cv2.CV_64F)
        if scale:
            seen, true = local_mean(seen, window)[::2, ::2], local_mean(true, window)[::2, ::2]
        mean_seen, mean_true = local_mean(seen, window), local_mean(true, window)
        of_seen = np.maximum(local_mean(seen * seen, window) - mean_seen**2, 0)
        of_true = np.maximum(local_mean(true * true, window) - mean_true**2, 0)
        of_both = local_mean(seen * true, window) - mean_seen * mean_true
        structured = (of_true > LEAST_VARIANCE) & (of_seen > LEAST_VARIANCE) & (of_both > 0)
        gain = np.where(structured, of_both / (of_true + LEAST_VARIANCE), 0.0)
        distortion = np.maximum(of_seen - gain * of_both, LEAST_VARIANCE)
        kept += float(np.log10(1 + gain**2 * of_true / (distortion + EYE_NOISE)).sum())
        there += float(np.log10(1 + of_true * (of_true > LEAST_VARIANCE) / EYE_NOISE).sum())
    return kept / there if there else 1.0
