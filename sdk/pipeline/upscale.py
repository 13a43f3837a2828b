"""Stage 3: upscale the crops, batched by size, and measure the consistency of each face with the camera's pixels."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.errors import InputError
from ...engines.padding import pad_edge
from ...engines.postprocess import Detections
from ...engines.session import Session
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


def faces_from(batches: Iterable[tuple[Crops, NDArray[np.uint8]]], detections: Detections) -> tuple[Face, ...]:
    """Build the faces of a frame.

    Args:
        batches: crops of one size, and their upscaled pixels, (n, k·S, k·S, 3) uint8 BGR.
        detections: of the frame.

    Returns:
        One face for each crop, in the order of the detections.
    """
    faces: dict[int, Face] = {}
    for crops, pixels in batches:
        decibels = consistency_db(crops.pixels, pixels)
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


def consistency_db(original: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """PSNR between crops and their upscaled pixels after downscaling these by antialiased bicubic interpolation.

    Args:
        original: (N, S, S, 3) uint8 crops.
        pixels: (N, k·S, k·S, 3) uint8.

    Returns:
        (N,) dB, peak 255; inf if they are equal.
    """
    downscaled = np.stack([_downscale(face, original.shape[1]) for face in pixels])
    squared = (original.astype(np.float64) - downscaled.astype(np.float64)) ** 2
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(255**2 / squared.reshape(len(squared), -1).mean(1)))


_NO_ADDEND = np.zeros((0, 0), np.float32)


@lru_cache(maxsize=16)
def _downscale_matrix(large: int, small: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(bicubic_matrix(large, small), dtype=np.float32)


def _downscale(face: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Resize one face, (kS, kS, 3), to (S, S, 3) by antialiased bicubic interpolation.

    By OpenCV's matrix product instead of numpy's: BLAS threads wait for a busy core, 200 ms where this takes 6 ms.
    """
    large, _, c = face.shape
    matrix = _downscale_matrix(large, side)  # (S, kS)
    rows = cv2.gemm(matrix, face.reshape(large, large * c).astype(np.float32), 1, _NO_ADDEND, 0)  # (S, kS·C)
    transposed = np.ascontiguousarray(rows.reshape(side, large, c).transpose(0, 2, 1)).reshape(side * c, large)
    product = cv2.gemm(transposed, matrix, 1, _NO_ADDEND, 0, flags=cv2.GEMM_2_T)  # (S·C, S)
    return np.asarray(product.reshape(side, c, side).transpose(0, 2, 1), dtype=np.float32)
