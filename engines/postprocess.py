"""From a detector's maps to boxes: pure numpy, the same for every runtime and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .bundle.io_spec import IOSpec

STRIDES = (8, 16, 32)
NMS_IOU = 0.4
MAX_CANDIDATES = 5000
"""Boxes that suppression takes. Its time grows with their square: 5,000 take 0.03 s with six a face, 0.14 s at worst,
20,000 took 2 s; a frame at a sensible score has hundreds."""
GREY = 114
"""What a picture is padded with."""


def padded(picture: NDArray[np.uint8], io_spec: IOSpec, buffer: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """The picture at the top left of a grey one that a detector takes; itself where its size is one already.

    Args:
        picture: (H, W, 3) uint8 BGR.
        contract: of the detector.
        buffer: what an earlier call returned; used again where its size fits.
    """
    height, width = io_spec.padded_hw(*picture.shape[:2])
    if picture.shape[:2] == (height, width):
        return picture
    if buffer is None or buffer.shape[:2] != (height, width):
        buffer = np.empty((height, width, 3), np.uint8)
    within(buffer, picture.shape[0], picture.shape[1])[:] = picture
    return buffer


def within(buffer: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The part of a detector's input that a picture of (height, width) fills; the rest becomes grey."""
    buffer[height:] = GREY
    buffer[:height, width:] = GREY
    return buffer[:height, :width]


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Corner (A, 2) x, y in cells and stride (A, 1) of every cell, in the order of the maps."""
    corners, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        corners.append(np.stack((x.ravel(), y.ravel()), axis=1))
        strides.append(np.full((x.size, 1), stride))
    return np.concatenate(corners).astype(np.float32), np.concatenate(strides).astype(np.float32)


def decode(maps: NDArray[np.float32], height: int, width: int, score: float) -> Detections:
    """Turn one picture's maps into detections, before suppression.

    Args:
        maps: (A, 15) as the contract has it; A = cells of the strides 8, 16, 32 of height × width.
        height: rows of the picture the maps were made of, a multiple of 32.
        width: its columns, a multiple of 32.
        score: least score to keep.

    Returns:
        Detections in pixels of that picture, unordered.
    """
    corners, strides = _grid(height, width)
    kept = np.flatnonzero(maps[:, 0] >= score)
    rows, corner, stride = maps[kept], corners[kept], strides[kept]
    centre = (corner + rows[:, 1:3]) * stride
    half = np.exp(np.clip(rows[:, 3:5], -8, 8)) * stride / 2
    landmarks = (corner[:, None] + rows[:, 5:].reshape(-1, 5, 2)) * stride[:, None]
    return Detections(np.concatenate((centre - half, centre + half), axis=1), rows[:, 0], landmarks)


def suppress(found: Detections, iou: float) -> Detections:
    """Non-maximum suppression: of boxes that overlap by more than `iou`, the best stays.

    Args:
        found: any order; of more than `MAX_CANDIDATES` the best are looked at.
        iou: intersection over union, 0..1.

    Returns:
        What is left, best first.
    """
    if not len(found):
        return found
    if len(found) > MAX_CANDIDATES:
        found = found[np.sort(np.argsort(-found.scores, kind="stable")[:MAX_CANDIDATES])]
    boxes = found.boxes_xyxy.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), found.scores.tolist(), 0.0, iou)
    return found[np.asarray(kept, dtype=np.intp).reshape(-1)]


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
