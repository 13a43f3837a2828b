"""Detector postprocessing in numpy: decode the output maps, non-maximum suppression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from .bundle.io_spec import STRIDES as STRIDES

NMS_IOU = 0.4
MAX_CANDIDATES = 5000
"""Maximum number of boxes before suppression, whose time grows with their square: 5,000 take 0.03 s with six a face and
0.14 s at worst, 20,000 take 2 s. A frame at a usable score threshold has hundreds."""


@dataclass(frozen=True, eq=False)
class Detection:
    """One face of a frame.

    Args:
        box_xyxy: (4,) float32, left, top, right, bottom in frame pixels.
        score: 0..1.
        landmarks: (5, 2) float32 x, y in frame pixels; see `Detections`.
    """

    box_xyxy: NDArray[np.float32]
    score: float
    landmarks: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Detections:
    """Faces of one frame, best first. Iterating and indexing by a number give each `Detection`.

    Args:
        boxes_xyxy: (N, 4) float32, left, top, right, bottom in frame pixels.
        scores: (N,) float32 in 0..1.
        landmarks: (N, 5, 2) float32 x, y in frame pixels: the two eyes, the nose, the two corners of the mouth, left to
            right in the image.

    Raises:
        ValueError: other shapes.
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

    def __iter__(self) -> Iterator[Detection]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> Detection: ...

    @overload
    def __getitem__(self, index: Sequence[int] | NDArray[Any] | slice) -> Detections: ...

    def __getitem__(self, index: Any) -> Detection | Detections:
        parts = self.boxes_xyxy[index], self.scores[index], self.landmarks[index]
        if parts[1].ndim == 0:
            return Detection(parts[0], float(parts[1]), parts[2])
        return Detections(*parts)

    @staticmethod
    def empty() -> Detections:
        """No faces."""
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))

    @staticmethod
    def merge(parts: list[Detections]) -> Detections:
        """Concatenate detections, in order."""
        parts = parts or [Detections.empty()]
        return Detections(
            np.concatenate([p.boxes_xyxy for p in parts]),
            np.concatenate([p.scores for p in parts]),
            np.concatenate([p.landmarks for p in parts]),
        )


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Corner (A, 2) x, y in strides and stride (A, 1) of every cell, in the order of the maps."""
    corners, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        corners.append(np.stack((x.ravel(), y.ravel()), axis=1))
        strides.append(np.full((x.size, 1), stride))
    return np.concatenate(corners).astype(np.float32), np.concatenate(strides).astype(np.float32)


def decode(maps: NDArray[np.float32], height: int, width: int, score: float) -> Detections:
    """Decode the output maps of one image, before suppression.

    Args:
        maps: (A, 15) as in `IOSpec`; A = cells of the strides 8, 16, 32 of height × width.
        height, width: of the network input, multiples of 32.
        score: minimum score, 0..1.

    Returns:
        Detections in pixels of the network input, unordered.
    """
    kept = np.flatnonzero(maps[:, 0] >= score)
    return decode_rows(maps[kept], kept, height, width)


def decode_rows(rows: NDArray[np.float32], cells: NDArray[np.integer[Any]], height: int, width: int) -> Detections:
    """Decode some rows of the output maps of one image, before suppression.

    Args:
        rows: (n, 15), of the maps.
        cells: (n,), their indices in the maps.
        height, width: of the network input, multiples of 32.
    """
    corners, strides = _grid(height, width)
    corner, stride = corners[cells], strides[cells]
    center = (corner + rows[:, 1:3]) * stride
    half = np.exp(np.clip(rows[:, 3:5], -8, 8)) * stride / 2
    landmarks = (corner[:, None] + rows[:, 5:].reshape(-1, 5, 2)) * stride[:, None]
    return Detections(np.concatenate((center - half, center + half), axis=1), rows[:, 0], landmarks)


def nms(detections: Detections, iou: float) -> Detections:
    """Non-maximum suppression.

    Args:
        detections: in any order; of more than `MAX_CANDIDATES` the best are used.
        iou: of two boxes with a larger intersection over union, 0..1, the one with the lower score is removed.

    Returns:
        The remaining detections, best first.
    """
    if not len(detections):
        return detections
    if len(detections) > MAX_CANDIDATES:
        detections = detections[np.sort(np.argsort(-detections.scores, kind="stable")[:MAX_CANDIDATES])]
    boxes_xywh = detections.boxes_xyxy.astype(np.float64)
    boxes_xywh[:, 2:] -= boxes_xywh[:, :2]
    kept = cv2.dnn.NMSBoxes(boxes_xywh.tolist(), detections.scores.tolist(), 0.0, iou)
    return detections[np.asarray(kept, dtype=np.intp).reshape(-1)]
