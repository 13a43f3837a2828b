"""How far a converted network departs from the one before, on real faces; too far, and the build stops."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration.metrics.image import mean_db, psnr
from ..engines.errors import ParityError

MIN_PSNR_DB = {"traced": 60.0, "simplified": 60.0, "fp16": 50.0}
"""Least agreement of each step's pixels with the PyTorch network in FP32. 60 dB is one grey level in sixteen pixels;
50 dB is what rounding each pixel twice would give. Other steps are judged by what they are worth, see `Gate`."""
MAX_ERROR = {"traced": 1e-3, "simplified": 1e-3}
"""Largest departure of an estimate in 0..1 before it is rounded to pixels, a quarter of a grey level, and of a
detector's maps (scores in 0..1, places in strides). Of fewer bits, a single cell says little:
they are judged by what is found, see `Gate`."""


def pixel_parity(step: str, expected: NDArray[np.uint8], got: NDArray[np.uint8]) -> dict[str, float]:
    """Compare super-resolved faces.

    Args:
        step: what was done, a key of `MIN_PSNR_DB` where it has a bound.
        expected: (N, H, W, 3) uint8 of the original.
        got: the same of the converted network.

    Returns:
        ``{step}_max_error`` in grey levels and ``{step}_psnr_db``, at most `MOST_DB`.

    Raises:
        ParityError: below the bound.
    """
    error = float(np.abs(expected.astype(np.int16) - got).max())
    agreement = mean_db(psnr(expected.reshape(1, -1), got.reshape(1, -1)))
    if agreement < MIN_PSNR_DB.get(step, 0.0):
        raise ParityError(
            f"the {step} network departs from PyTorch: {agreement:.1f} dB on real faces, at least "
            f"{MIN_PSNR_DB[step]:.0f} dB is needed; build with --fp32, or report the network"
        )
    return {f"{step}_max_error": error, f"{step}_psnr_db": round(agreement, 2)}


def estimate_parity(step: str, expected: NDArray[Any], got: NDArray[Any]) -> dict[str, float]:
    """Compare super-resolved faces before they are rounded.

    Args:
        step: what was done, a key of `MAX_ERROR`.
        expected: colours near 0..1, of the original.
        got: the same of the converted network.

    Returns:
        ``{step}_largest_departure``, of 1.

    Raises:
        ParityError: above the bound, or not a number.
    """
    error = float(np.abs(expected - got).max())
    if not error <= MAX_ERROR[step]:
        raise ParityError(
            f"the {step} network departs from PyTorch by {error:.2g} of 1 on real faces, at most "
            f"{MAX_ERROR[step]:g} is allowed; report the network"
        )
    return {f"{step}_largest_departure": float(f"{error:.2g}")}


def map_parity(step: str, expected: NDArray[Any], got: NDArray[Any]) -> dict[str, float]:
    """Compare a detector's maps.

    Returns:
        ``{step}_max_error``.

    Raises:
        ParityError: above the bound, or not a number.
    """
    error = float(np.abs(expected - got).max())
    limit = MAX_ERROR.get(step, float(np.finfo(np.float32).max))
    if not error <= limit:
        raise ParityError(
            f"the {step} detector departs from PyTorch by {error:.4f}, at most {limit:g} is allowed; "
            "build with --fp32, or report the network"
        )
    return {f"{step}_max_error": error}


MIN_ENGINE_PSNR_DB = {"fp32": 50.0, "fp16": 45.0, "int8": 35.0}
"""Least agreement of a compiled engine's pixels with its own graph in ONNX Runtime. Roundings may fall otherwise, but a
broken engine is at 20 dB and below."""
MAX_ENGINE_ERROR = {"fp32": 0.02, "fp16": 0.05, "int8": 0.25}
"""Largest departure of a compiled detector's scores from those of its own graph, of 1."""


def engine_parity(precision: str, expected: NDArray[Any], got: NDArray[Any]) -> dict[str, float]:
    """Compare a compiled engine with its own graph in ONNX Runtime.

    Args:
        precision: of the graph, a key of `MIN_ENGINE_PSNR_DB`.
        expected: (N, H, W, 3) uint8 pixels, or (N, A, 15) float maps of a detector, of ONNX Runtime.
        got: the same of the engine.

    Returns:
        ``psnr_db`` of pixels, or ``max_score_error`` of maps.

    Raises:
        ParityError: beyond the bound, of another shape, or not a number.
    """
    if got.shape != expected.shape:
        raise ParityError(f"the engine gives {got.shape} where its graph gives {expected.shape}; compile it again")
    if expected.ndim == 4:
        agreement = mean_db(psnr(expected.reshape(1, -1), got.reshape(1, -1)))
        good, figures = agreement >= MIN_ENGINE_PSNR_DB[precision], {"psnr_db": round(agreement, 2)}
        told = f"{agreement:.1f} dB, at least {MIN_ENGINE_PSNR_DB[precision]:.0f} dB is needed"
    else:
        error = float(np.abs(expected[..., 0] - got[..., 0]).max())
        good = bool(np.isfinite(got).all()) and error <= MAX_ENGINE_ERROR[precision]
        figures = {"max_score_error": round(error, 5)}
        told = f"scores by {error:.3f}, at most {MAX_ENGINE_ERROR[precision]} is allowed, and every number finite"
    if not good:
        raise ParityError(
            f"the engine does not say what its graph says: {told}; build with --fp32, or lower --builder-level"
        )
    return figures
