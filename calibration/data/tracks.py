"""Tracks of ground-truth faces that move by parts of a pixel, for networks that read several frames."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.multiframe.history import History, extended
from .faces import low_resolution

MAX_STEP = 1.5
"""Largest motion between two frames along an axis, in low-resolution pixels."""
SEED = 0


def moved_tracks(faces: NDArray[np.uint8], scale: int, frames: int) -> NDArray[np.uint8]:
    """Low-resolution crops of faces on the move, without noise and compression.

    Args:
        faces: ground truth, (N, S, S, 3) uint8 BGR.
        scale: S / s.
        frames: K, crops of each face.

    Returns:
        (N, K, s, s, 3) uint8, the newest last: it shows the ground truth.
    """
    rng = np.random.default_rng(SEED)
    steps = rng.uniform(-MAX_STEP * scale, MAX_STEP * scale, (len(faces), frames - 1, 2))
    shifts = np.cumsum(steps[:, ::-1], 1)[:, ::-1]  # relative to the newest
    earlier = [_shifted(face, *xy) for face, shift in zip(faces, shifts, strict=True) for xy in shift]
    large = np.stack(earlier).reshape(len(faces), frames - 1, *faces.shape[1:])
    both = np.concatenate((large, faces[:, None]), 1)
    return low_resolution(both.reshape(-1, *faces.shape[1:]), scale).reshape(
        len(faces), frames, *(side // scale for side in faces.shape[1:3]), 3
    )


def history_of(crops: NDArray[np.uint8]) -> History:
    """Registered crops of a track, (K, s, s, 3) uint8 BGR, the newest last, of a window that stands still."""
    history: History | None = None
    for crop in crops:
        history = extended(history, crop, (0, 0), len(crops))
    assert history is not None
    return history


def samples_of(tracks: NDArray[np.uint8], scale: int) -> NDArray[np.float32]:
    """Samples of tracks (N, K, s, s, 3), see `accumulate`: (N, 2·scale², s, s) float32."""
    return np.stack([history_of(crops).samples(scale) for crops in tracks])


def moved_samples(faces: NDArray[np.uint8], scale: int, frames: int) -> NDArray[np.float32]:
    """Samples of the earlier crops of `moved_tracks`, whose newest crops are those of `low_resolution`."""
    return samples_of(moved_tracks(faces, scale, frames), scale)


def _shifted(face: NDArray[np.uint8], x: float, y: float) -> NDArray[np.uint8]:
    height, width = face.shape[:2]
    matrix = np.array([[1, 0, x], [0, 1, y]])
    moved = cv2.warpAffine(face, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)
