"""The third stage: crops, batched by size -> super-resolved pixels, and how far they agree with the camera."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ...calibration.metrics.image import psnr
from ...engines.postprocess import Detections
from ...engines.session import Session
from ...networks.layers.bicubic import bicubic_matrix
from ..profiling.timing import Stopwatch
from .crop import Crops
from .results import Face


def super_resolve(session: Session, batches: list[Crops], found: Detections, watch: Stopwatch) -> tuple[Face, ...]:
    """Super-resolve every crop of a frame, one call a size.

    Args:
        session: a super-resolution engine.
        batches: the crops, by size.
        found: the detections that they belong to.
        watch: where the network's share of the time is put down, as "super_resolve.network".

    Returns:
        One face a crop, in the order of the detections.
    """
    faces: dict[int, Face] = {}
    for crops in batches:
        with watch.stage("super_resolve.network"):
            pixels = session.infer(crops.pixels)
        faces |= faces_of(crops, pixels, found)
    return tuple(faces[index] for index in sorted(faces))


def faces_of(crops: Crops, pixels: NDArray[np.uint8], found: Detections) -> dict[int, Face]:
    """What was made of the crops of one size, with how far each agrees with the camera.

    Args:
        crops: n of one size.
        pixels: (n, k·S, k·S, 3) uint8 BGR, what the network made of them.
        found: the detections that they belong to.

    Returns:
        Index of the detection -> face.
    """
    agreement = consistency_db(crops.pixels, pixels)
    return {
        index: Face(
            found.boxes_xyxy[index],
            float(found.scores[index]),
            found.landmarks[index],
            window.xyxy,
            crops.pixels[n],
            pixels[n],
            float(agreement[n]),
        )
        for n, (index, window) in enumerate(zip(crops.indices, crops.windows, strict=True))
    }


_NOTHING = np.zeros((0, 0), np.float32)


@lru_cache(maxsize=16)
def _shrink(large: int, small: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(bicubic_matrix(large, small), dtype=np.float32)


def consistency_db(original: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How far super-resolved faces agree with the camera: PSNR after shrinking them back.

    Args:
        original: (N, S, S, 3) uint8 crops.
        pixels: (N, k·S, k·S, 3) uint8.

    Returns:
        (N,) dB.
    """
    small = original.shape[1]
    return psnr(original, np.stack([_shrunken(face, small) for face in pixels]))


def _shrunken(face: NDArray[np.uint8], small: int) -> NDArray[np.float32]:
    """One face, (kS, kS, 3), shrunk to (S, S, 3) by antialiased bicubic.

    By OpenCV's product, not numpy's: BLAS threads that meet a busy core wait for it, 200 ms where this takes 6.
    """
    large, _, c = face.shape
    matrix = _shrink(large, small)
    rows = cv2.gemm(matrix, face.reshape(large, large * c).astype(np.float32), 1, _NOTHING, 0)  # (S, kS·C)
    turned = np.ascontiguousarray(rows.reshape(small, large, c).transpose(0, 2, 1)).reshape(small * c, large)
    again = cv2.gemm(turned, matrix, 1, _NOTHING, 0, flags=cv2.GEMM_2_T)  # (S·C, S)
    return np.asarray(again.reshape(small, c, small).transpose(0, 2, 1), dtype=np.float32)
