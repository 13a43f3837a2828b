"""Tracks of ground-truth faces for networks that read several frames: recorded ones, or moved by parts of a pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.inputs import SAMPLES, Inputs
from ...engines.multiframe.accumulation import accumulate
from ...engines.multiframe.history import SPAN, History, ages, extended
from ...engines.multiframe.registration import IDENTITY, compose, inverse, luma
from .faces import low_resolution

MAX_STEP = 1.5
"""Largest motion between two frames of `moved_tracks` along an axis, in low-resolution pixels."""
SEED = 0


@dataclass(frozen=True, eq=False)
class Tracks:
    """Crops of N faces in K frames, the newest last.

    Args:
        crops: (N, K, s, s, 3) uint8 BGR.
        truth: of the newest crops, (N, k·s, k·s, 3) uint8 BGR.
        motions: (N, K, 2, 3) float32, positions in each crop -> in the newest crop, in pixels, as they were registered;
            nan for the crops before a failed registration.
    """

    crops: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    motions: NDArray[np.float32]

    @property
    def newest(self) -> NDArray[np.uint8]:
        """The newest crops, (N, s, s, 3)."""
        return np.ascontiguousarray(self.crops[:, -1])

    @property
    def scale(self) -> int:
        """k, high-resolution pixels per pixel."""
        return int(self.truth.shape[1] // self.crops.shape[2])

    def counts(self, frames: int) -> NDArray[np.int64]:
        """Number of crops that each face is made from, at most `frames`, the newest included, (N,)."""
        return np.array([min(frames, 1 + _available(motions)) for motions in self.motions])

    def inputs(self, frames: int) -> Inputs:
        """The input `SAMPLES` of up to `frames` crops of each face, which are chosen as those of a `History`."""
        samples = [self._samples(*one, frames) for one in zip(self.crops, self.motions, strict=True)]
        return {SAMPLES: np.stack(samples)}

    def _samples(self, crops: NDArray[np.uint8], motions: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        earlier = []
        for age in reversed(ages(_available(motions), frames - 1)):
            a, b, c, d, e, f = map(float, motions[-1 - age].ravel())
            earlier.append((luma(np.ascontiguousarray(crops[-1 - age])), (a, b, c, d, e, f)))
        return accumulate(luma(np.ascontiguousarray(crops[-1])), earlier, self.scale)


def _available(motions: NDArray[np.float32]) -> int:
    """Number of crops before the newest that are registered to it."""
    registered_before = np.isfinite(motions[-2::-1]).all((1, 2))
    return min(SPAN, int(np.logical_and.accumulate(registered_before).sum()))


RecordTracks = Callable[[NDArray[np.uint8], int], Tracks]
"""Records tracks of faces (N, S, S, 3) uint8 BGR that are made smaller by a scale."""


def joined(parts: list[Tracks]) -> Tracks:
    """All tracks of several parts, of the same number of frames and sizes."""
    arrays = ([getattr(part, name) for part in parts] for name in ("crops", "truth", "motions"))
    return Tracks(*map(np.concatenate, arrays))


def selected(tracks: Tracks, indices: NDArray[np.int64]) -> Tracks:
    """The tracks of some faces."""
    return Tracks(tracks.crops[indices], tracks.truth[indices], tracks.motions[indices])


def moved_tracks(faces: NDArray[np.uint8], scale: int, frames: int) -> Tracks:
    """Tracks of faces on the move, without noise and compression, registered as in a video.

    Args:
        faces: ground truth, (N, S, S, 3) uint8 BGR.
        scale: S / s.
        frames: K, crops of each face. The newest ones are those of `low_resolution`.
    """
    rng = np.random.default_rng(SEED)
    steps = rng.uniform(-MAX_STEP * scale, MAX_STEP * scale, (len(faces), frames - 1, 2))
    shifts = np.cumsum(steps[:, ::-1], 1)[:, ::-1]  # relative to the newest
    earlier = [_shifted(face, *xy) for face, shift in zip(faces, shifts, strict=True) for xy in shift]
    crops = low_resolution(np.stack(earlier), scale)
    crops = crops.reshape(len(faces), frames - 1, *crops.shape[1:])
    crops = np.concatenate((crops, low_resolution(faces, scale)[:, None]), 1)
    return Tracks(crops, faces, np.stack([registered(one) for one in crops]))


def registered(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Motions of `Tracks`, (K, 2, 3), of the crops (K, s, s, 3) of a window that stands still."""
    history: History | None = None
    for shown in crops:
        history = extended(history, shown, (0, 0), len(crops))
    return motions_of(history, len(crops))


def motions_of(history: History | None, frames: int) -> NDArray[np.float32]:
    """Motions (K, 2, 3) from the crops of the last K frames to the newest; nan for those that a history lacks."""
    motions = np.full((frames, 2, 3), np.nan, np.float32)
    motions[-1] = np.eye(2, 3)
    to_newest = inverse(history.crops[-1].to_key) if history else IDENTITY
    for number, crop in enumerate(reversed(history.crops[:-1] if history else ()), 2):
        motions[-number] = np.reshape(compose(to_newest, crop.to_key), (2, 3))
    return motions


def _shifted(face: NDArray[np.uint8], x: float, y: float) -> NDArray[np.uint8]:
    height, width = face.shape[:2]
    matrix = np.array([[1, 0, x], [0, 1, y]])
    moved = cv2.warpAffine(face, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)
