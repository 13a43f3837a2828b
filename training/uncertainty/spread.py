"""Spread of the gain of an uncertainty head: the same coverage under every condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...calibration.uncertainty import calibrate
from ...engines.uncertainty import COVERAGE
from ...networks.layers.pixels import to_rgb
from ...networks.uncertainty import Uncertainty, luma_of

Floats = NDArray[np.floating[Any]]
FACTORS = tuple(round(1 + 0.1 * n, 1) for n in range(16))
"""Factors of the logarithm of the gain that are tried."""
STRIDE = 5
"""Every such pixel in row and column is looked at."""


def map_and_log_gain(
    head: Uncertainty, crops: NDArray[np.uint8], pixels: NDArray[np.uint8], batch: int = 16
) -> tuple[Floats, Floats]:
    """Map of the widths at every `STRIDE`-th pixel, (N, h, w), and logarithm of the gain, (N, 1, 1)."""
    maps, gains = [], []
    with torch.inference_mode():
        for start in range(0, len(crops), batch):
            rows = slice(start, start + batch)
            crop, luma = to_rgb(torch.from_numpy(crops[rows])), luma_of(torch.from_numpy(pixels[rows]))
            maps.append(head.map(crop, luma)[:, 0, ::STRIDE, ::STRIDE].numpy())
            gains.append(torch.log(head.gain(head.gain.statistics(crop, luma)))[:, 0].numpy())
    return np.concatenate(maps), np.concatenate(gains)


def spread(conditions: Mapping[str, Sequence[Floats]]) -> float:
    """The factor of the logarithm of the gain for which the conditions differ least in their coverage.

    The gain is an estimate with an error of its own, hence closer to the mean than the truth: clean pictures would be
    covered too well, and strongly compressed ones not well enough.

    Args:
        conditions: for each condition, map, logarithm of the gain and errors, as of `map_and_log_gain`.

    Returns:
        One of `FACTORS`.
    """
    return min(FACTORS, key=lambda factor: worst(coverages(conditions, factor)))


def worst(shares: Mapping[str, float]) -> float:
    """Largest difference of a coverage from `COVERAGE`."""
    return max(abs(share - COVERAGE) for share in shares.values())


def coverages(conditions: Mapping[str, Sequence[Floats]], factor: float) -> dict[str, float]:
    """Coverage of each condition, calibrated on all of them, with the logarithm of the gain times a factor."""
    raw = {name: widths * np.exp(factor * log) for name, (widths, log, _) in conditions.items()}
    errors = {name: values[2] for name, values in conditions.items()}
    knots = calibrate(list(raw.values()), list(errors.values()), COVERAGE)
    return {name: float((errors[name] <= np.interp(raw[name], *knots)).mean()) for name in conditions}
