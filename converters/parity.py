"""How far a converted network departs from the one before, on real faces; too far, and the build stops."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration.quality import mean_db, psnr
from ..engines.errors import ParityError

LEAST_PSNR_DB = {"traced": 60.0, "simplified": 60.0, "fp16": 50.0}
"""Least agreement of each step's pixels with the PyTorch network in FP32. 60 dB is one grey level in sixteen pixels;
50 dB is what rounding each pixel twice would give. Other steps are judged by what they are worth, see `Gate`."""
LARGEST_ERROR = {"traced": 1e-3, "simplified": 1e-3}
"""Largest departure of a detector's maps (scores in 0..1, places in strides). Of fewer bits, a single cell says little:
they are judged by what is found, see `Gate`."""


def pixel_parity(step: str, expected: NDArray[np.uint8], got: NDArray[np.uint8]) -> dict[str, float]:
    """Compare super-resolved faces.

    Args:
        step: what was done, a key of `LEAST_PSNR_DB` where it has a bound.
        expected: (N, H, W, 3) uint8 of the original.
        got: the same of the converted network.

    Returns:
        ``{step}_max_error`` in grey levels and ``{step}_psnr_db``, at most `MOST_DB`.

    Raises:
        ParityError: below the bound.
    """
    error = float(np.abs(expected.astype(np.int16) - got).max())
    agreement = mean_db(psnr(expected.reshape(1, -1), got.reshape(1, -1)))
    if agreement < LEAST_PSNR_DB.get(step, 0.0):
        raise ParityError(
            f"the {step} network departs from PyTorch: {agreement:.1f} dB on real faces, at least "
            f"{LEAST_PSNR_DB[step]:.0f} dB is needed; build with --fp32, or report the network"
        )
    return {f"{step}_max_error": error, f"{step}_psnr_db": round(agreement, 2)}


def map_parity(step: str, expected: NDArray[Any], got: NDArray[Any]) -> dict[str, float]:
    """Compare a detector's maps.

    Returns:
        ``{step}_max_error``.

    Raises:
        ParityError: above the bound, or not a number.
    """
    error = float(np.abs(expected - got).max())
    limit = LARGEST_ERROR.get(step, float(np.finfo(np.float32).max))
    if not error <= limit:
        raise ParityError(
            f"the {step} detector departs from PyTorch by {error:.4f}, at most {limit:g} is allowed; "
            "build with --fp32, or report the network"
        )
    return {f"{step}_max_error": error}
