"""Parity of converted networks on real faces; a step beyond its limit stops the build."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration.metrics.image import mean_db, psnr
from ..engines.errors import ParityError
from ..networks.layers.bicubic import resize_batch

MIN_PSNR_DB = {"traced": 60.0, "simplified": 60.0, "tensorrt": 60.0, "fp16": 50.0}
"""Minimum PSNR of the output pixels to the FP32 PyTorch network. 60 dB is one gray level in one of sixteen pixels, 50
dB is what rounding each pixel twice causes. Other steps are limited by their accuracy, see `AccuracyCheck`."""
MAX_ERROR = {"traced": 1e-3, "simplified": 1e-3}
"""Maximum absolute error of the output in 0..1 before rounding to uint8 (a quarter of a gray level), and of detector
maps (scores in 0..1, coordinates in strides). Quantized detectors are limited by their accuracy, see `AccuracyCheck`:
the error of a single cell says little about detections."""
MIN_ENGINE_PSNR_DB = {"fp32": 50.0, "fp16": 45.0, "int8": 35.0}
"""Minimum PSNR of a compiled engine to ONNX Runtime on the same graph. Rounding may differ; a broken engine has 20 dB
or less."""
MAX_ENGINE_ERROR = {"fp32": 0.02, "fp16": 0.05, "int8": 0.25}
"""Maximum absolute error of a compiled detector's scores (0..1) to ONNX Runtime on the same graph."""

MAX_CONSISTENCY_ERROR_DB = 0.05
"""Maximum difference between the consistency that a graph computes and that of its output pixels."""
MIN_RESIDUAL = 1e-4
"""Gray levels squared, 88 dB: below the rounding of the output to whole levels."""


def pixel_parity(step: str, expected: NDArray[np.uint8], actual: NDArray[np.uint8]) -> dict[str, float]:
    """Compare super-resolved faces.

    Args:
        step: conversion step; limited if it is a key of `MIN_PSNR_DB`.
        expected, actual: output of the original and the converted network, (N, H, W, 3) uint8.

    Returns:
        ``{step}_max_error`` in gray levels and ``{step}_psnr_db``, at most `MAX_DB`.

    Raises:
        ParityError: the PSNR is below the limit.
    """
    error = float(np.abs(expected.astype(np.int16) - actual).max())
    psnr_db = mean_db(psnr(expected.reshape(1, -1), actual.reshape(1, -1)))
    if psnr_db < MIN_PSNR_DB.get(step, 0.0):
        raise ParityError(
            f"the {step} network differs from PyTorch: PSNR {psnr_db:.1f} dB on real faces, expected at least "
            f"{MIN_PSNR_DB[step]:.0f} dB; build with --fp32, or report a bug for this network"
        )
    return {f"{step}_max_error": error, f"{step}_psnr_db": round(psnr_db, 2)}


def pre_round_parity(step: str, expected: NDArray[Any], actual: NDArray[Any]) -> dict[str, float]:
    """Compare super-resolved faces before rounding to uint8, near 0..1, after a step that is a key of `MAX_ERROR`.

    Returns:
        ``{step}_pre_round_max_error``, in 0..1.

    Raises:
        ParityError: the error exceeds the limit or is not finite.
    """
    error = float(np.abs(expected - actual).max())
    if not error <= MAX_ERROR[step]:
        raise ParityError(
            f"the {step} network differs from PyTorch by {error:.2g} (range 0..1) on real faces, limit "
            f"{MAX_ERROR[step]:g}; report a bug for this network"
        )
    return {f"{step}_pre_round_max_error": float(f"{error:.2g}")}


def consistency_parity(
    step: str, crops: NDArray[np.uint8], pixels: NDArray[np.uint8], residual: NDArray[np.float32]
) -> dict[str, float]:
    """Compare the consistency residual of a graph with that of its output pixels.

    Args:
        step: conversion step.
        crops, pixels: input and output of the graph, (N, H, W, 3) and (N, k·H, k·W, 3) uint8.
        residual: second output of the graph, (N,).

    Returns:
        ``{step}_consistency_error_db``.

    Raises:
        ParityError: they differ by more than `MAX_CONSISTENCY_ERROR_DB`.
    """
    exact = np.square(crops - resize_batch(pixels, *crops.shape[1:3])).mean((1, 2, 3))
    error_db = float(np.abs(10 * np.log10((residual + MIN_RESIDUAL) / (exact + MIN_RESIDUAL))).max())
    if not error_db <= MAX_CONSISTENCY_ERROR_DB:
        raise ParityError(
            f"the consistency of the {step} graph differs from that of its pixels by {error_db:.3f} dB, limit "
            f"{MAX_CONSISTENCY_ERROR_DB:g} dB; report a bug for this network"
        )
    return {f"{step}_consistency_error_db": round(error_db, 4)}


def map_parity(step: str, expected: NDArray[Any], actual: NDArray[Any]) -> dict[str, float]:
    """Compare detector maps; returns ``{step}_max_error``.

    Raises:
        ParityError: the error exceeds the limit or is not finite.
    """
    error = float(np.abs(expected - actual).max())
    limit = MAX_ERROR.get(step, float(np.finfo(np.float32).max))
    if not error <= limit:
        raise ParityError(
            f"the {step} detector differs from PyTorch by {error:.4f}, limit {limit:g}; "
            "build with --fp32, or report a bug for this network"
        )
    return {f"{step}_max_error": error}


def engine_parity(precision: str, expected: NDArray[Any], actual: NDArray[Any]) -> dict[str, float]:
    """Compare a compiled engine with ONNX Runtime on the same graph.

    Args:
        precision: of the graph, a key of `MIN_ENGINE_PSNR_DB`.
        expected, actual: output of ONNX Runtime and the engine: (N, H, W, 3) uint8, or (N, A, 15) float detector maps.

    Returns:
        ``psnr_db`` of pixels, or ``max_score_error`` of maps.

    Raises:
        ParityError: beyond the limit, of another shape, or not finite.
    """
    if actual.shape != expected.shape:
        raise ParityError(f"the engine outputs {actual.shape}, ONNX Runtime {expected.shape}; compile it again")
    if expected.ndim == 4:
        psnr_db, limit = mean_db(psnr(expected.reshape(1, -1), actual.reshape(1, -1))), MIN_ENGINE_PSNR_DB[precision]
        passed, metrics = psnr_db >= limit, {"psnr_db": round(psnr_db, 2)}
        message = f"PSNR {psnr_db:.1f} dB, expected at least {limit:.0f} dB"
    else:
        error, limit = float(np.abs(expected[..., 0] - actual[..., 0]).max()), MAX_ENGINE_ERROR[precision]
        passed, metrics = bool(np.isfinite(actual).all()) and error <= limit, {"max_score_error": round(error, 5)}
        message = f"score error {error:.3f}, limit {limit}; all values must be finite"
    if not passed:
        raise ParityError(
            f"the engine differs from ONNX Runtime: {message}; build with --fp32, or lower --builder-level"
        )
    return metrics
