"""Visual information fidelity: how much of what an eye could learn of the true face is still there.

Libraries have it too, but with windows that are not separable, on a CPU half a second a face where this takes
milliseconds; the tests hold it to theirs.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .quality import Plane, local_mean, luma

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
