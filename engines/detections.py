"""Detections: the faces that a detector found in one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Detections:
    """Faces of one frame, best first.

    Args:
        boxes_xyxy: (N, 4) float32, left, top, right, bottom in frame pixels.
        scores: (N,) float32 in 0..1.
        landmarks: (N, 5, 2) float32 x, y in frame pixels: the two eyes, the nose, the two corners of the mouth, left to
            right as they lie in the picture.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.scores)
        shapes = (self.boxes_xyxy.shape, self.scores.shape, self.landmarks.shape)
        if shapes != ((n, 4), (n,), (n, 5, 2)):
            raise ValueError(f"expected boxes (N, 4), scores (N,) and landmarks (N, 5, 2), got {shapes}")

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Sequence[int] | NDArray[Any] | slice) -> Detections:
        return Detections(self.boxes_xyxy[index], self.scores[index], self.landmarks[index])


def no_detections() -> Detections:
    """What a frame without a face gives."""
    return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))


def join(parts: list[Detections]) -> Detections:
    """Put the detections of several tiles together, in their order."""
    if not parts:
        return no_detections()
    return Detections(
        np.concatenate([p.boxes_xyxy for p in parts]),
        np.concatenate([p.scores for p in parts]),
        np.concatenate([p.landmarks for p in parts]),
    )
