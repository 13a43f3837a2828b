"""Stage 3: upscale the crops, batched by size, and measure the consistency of each face with the camera's pixels."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.errors import InputError
from ...engines.padding import pad_edge
from ...engines.postprocess import Detections
from ...engines.session import Output, Session
from ...networks.layers.bicubic import bicubic_matrix
from .crop import Crops
from .results import Face


def upscale_crops(session: Session, crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Upscale crops of any one size, without detection.

    Args:
        session: a super-resolution engine.
        crops: (N, h, w, 3) uint8 BGR, h and w at most the largest crop size of the engine. Other sizes than the
            engine's are padded by repeating the edge; the result is cut back.

    Returns:
        (N, k·h, k·w, 3) uint8 BGR.

    Raises:
        InputError: another shape or dtype, or too large.
    """
    io_spec, scale = session.io_spec, session.io_spec.scale
    if not isinstance(crops, np.ndarray):
        raise InputError(f"expected crops of (N, h, w, 3) uint8 BGR, got {type(crops).__name__}; stack them: np.stack")
    if crops.ndim != 4 or crops.shape[3] != 3 or crops.dtype != np.uint8 or 0 in crops.shape[1:]:
        raise InputError(f"expected crops of (N, h, w, 3) uint8 BGR, got {crops.shape} {crops.dtype}")
    n, height, width, _ = crops.shape
    side = min((s for s in io_spec.crop_sizes if s >= max(height, width)), default=None)
    if side is None:
        raise InputError(
            f"expected crops of at most {max(io_spec.crop_sizes)} px, got {width}x{height}; downscale them"
        )
    if n == 0:
        return np.zeros((0, scale * height, scale * width, 3), np.uint8)
    upscaled: NDArray[np.uint8] = session.infer(pad_edge(crops, side))[:, : scale * height, : scale * width]
    return upscaled


def faces_from(batches: Iterable[tuple[Crops, Output]], detections: Detections) -> tuple[Face, ...]:
    """Build the faces of a frame.

    Args:
        batches: crops of one size, and the network's output for them; the consistency is measured here where it does
            not come with the output.
        detections: of the frame.

    Returns:
        One face for each crop, in the order of the detections.
    """
    faces: dict[int, Face] = {}
    for crops, (pixels, residual) in batches:
        decibels = psnr_db(residuals(crops.pixels, pixels) if residual is None else residual)
        for n, (index, window) in enumerate(zip(crops.indices, crops.windows, strict=True)):
            faces[index] = Face(
                detections.boxes_xyxy[index],
                float(detections.scores[index]),
                detections.landmarks[index],
                window.xyxy,
                crops.pixels[n],
                pixels[n],
                float(decibels[n]),
            )
    return tuple(faces[index] for index in sorted(faces))


def psnr_db(squared_error: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """PSNR of mean squared errors in gray levels squared, peak 255: dB; inf for an error of 0."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / squared_error.astype(np.float64))


def residuals(original: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean squared differences of crops and their upscaled pixels, downscaled by antialiased bicubic interpolation.

    Args:
        original: (N, S, S, 3) uint8 crops.
        pixels: (N, k·S, k·S, 3) uint8.

    Returns:
        (N,) gray levels squared.
    """
    scale = pixels.shape[1] // original.shape[1]
    weights = _weights(pixels.shape[1], scale)
    differences = (_filtered(face, scale) / weights - crop for face, crop in zip(pixels, original, strict=True))
    return np.array([np.square(difference).mean(dtype=np.float64) for difference in differences])


def _filtered(face: NDArray[Any], scale: int) -> NDArray[np.float32]:
    """Every k-th sample of a face, (kS, kS, 3), filtered by the antialiased bicubic kernel with zeros outside."""
    taps = _taps(scale)
    center = 2 * scale, 2 * scale
    filtered = cv2.sepFilter2D(face, cv2.CV_32F, taps, taps, anchor=center, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(filtered[::scale, ::scale], np.float32)


@lru_cache(maxsize=32)
def _weights(side: int, scale: int) -> NDArray[np.float32]:
    """Sum of the taps inside of a face, (side / scale, side / scale, 3): 1 except at the border."""
    return _filtered(np.ones((side, side, 3), np.float32), scale)


@lru_cache
def _taps(scale: int) -> NDArray[np.float32]:
    """Weights of 5·scale samples in the middle one of five samples at 1/scale of their rate."""
    return np.asarray(bicubic_matrix(5 * scale, 5)[2], np.float32)
