"""Calibration of estimated error widths, and how well they cover and follow the true errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
BINS = 16
"""Ranges of estimated widths that are calibrated by themselves, each with as many pixels."""
LUMA_BGR = np.array((0.114, 0.587, 0.299))
"""BT.601 at full range: black is 0 and white is 255."""


@dataclass(frozen=True)
class Coverage:
    """How intervals fit the errors of a network under one condition.

    Args:
        coverage: share of the pixels within their interval.
        coverage_p10: of the faces, sorted by their share, that which a tenth of them does not reach.
        mean_half_width: gray levels.
        constant_half_width: gray levels, the single half width that covers as many of these pixels.
        correlation: Spearman's, of half widths and absolute errors of the pixels.
        pinball: mean pinball loss at 90 %, gray levels.
        constant_pinball: the same with the single half width of the smallest loss.
    """

    coverage: float
    coverage_p10: float
    mean_half_width: float
    constant_half_width: float
    correlation: float
    pinball: float
    constant_pinball: float

    def to_dict(self) -> dict[str, float]:
        """For JSON and cards, rounded to 4 decimals."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def luma_error(pixels: NDArray[np.uint8], truth: NDArray[np.uint8]) -> Floats:
    """Absolute difference of the luma of (…, 3) uint8 BGR pictures, (…), gray levels, not rounded."""
    return np.asarray(np.abs((pixels.astype(np.float32) - truth.astype(np.float32)) @ LUMA_BGR.astype(np.float32)))


def calibrate(half_widths: Sequence[Floats], errors: Sequence[Floats], quantile: float) -> tuple[Floats, Floats]:
    """Conformal calibration within ranges of the estimated width.

    Args:
        half_widths, errors: of each condition, arrays of the same shape; every condition has the same weight.
        quantile: share of the pixels to cover, 0..1.

    Returns:
        Estimated widths, ascending, and the widths that cover the errors there, which never fall.
    """
    size = min(one.size for one in errors)
    rng = np.random.default_rng(0)
    chosen = [rng.permutation(one.size)[:size] for one in errors]
    width = np.concatenate([one.ravel()[rows] for one, rows in zip(half_widths, chosen, strict=True)])
    error = np.concatenate([one.ravel()[rows] for one, rows in zip(errors, chosen, strict=True)])
    mixed = rng.permutation(width.size)  # equal widths of all conditions
    order = mixed[np.argsort(width[mixed], kind="stable")]
    parts = np.array_split(order, BINS)
    raw = np.array([width[part].mean() for part in parts])
    covering = np.array([np.quantile(error[part], quantile, method="higher") for part in parts])
    kept = np.concatenate(([True], np.diff(raw) > 0))
    return raw[kept], np.maximum.accumulate(covering[kept])


def measure(half_widths: NDArray[np.uint8], errors: Floats, quantile: float) -> Coverage:
    """Coverage and sharpness of calibrated widths, both (N, H, W), gray levels."""
    width, error = half_widths.ravel().astype(np.float64), errors.ravel().astype(np.float64)
    share = float((error <= width).mean())
    of_faces = (errors <= half_widths).reshape(len(errors), -1).mean(1)
    best = float(np.quantile(error, quantile))
    return Coverage(
        share,
        float(np.percentile(of_faces, 10)),
        float(width.mean()),
        float(np.quantile(error, share)),
        spearman(width, error),
        pinball(error, width, quantile),
        pinball(error, np.full_like(error, best), quantile),
    )


def pinball(error: Floats, half_width: Floats, quantile: float) -> float:
    """Mean pinball loss of an estimate of a quantile, in the units of both."""
    excess = error - half_width
    return float(np.maximum(quantile * excess, (quantile - 1) * excess).mean())


def spearman(a: Floats, b: Floats) -> float:
    """Correlation of the ranks of two arrays of the same size; equal values share their mean rank, a constant
    has none: 0."""
    ranks = _ranks(a), _ranks(b)
    return float(np.corrcoef(*ranks)[0, 1]) if all(np.ptp(one) for one in ranks) else 0.0


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse.ravel()], np.float64)
