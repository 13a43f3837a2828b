"""Detector metrics: recall at 90 % precision and average precision by face size, false positives, landmark error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...engines.padding import pad_grey
from ...engines.postprocess import NMS_IOU, Detections, decode, nms
from ...engines.session import Session
from ..data.detection import LabeledFaces

Detect = Callable[[NDArray[np.uint8]], Detections]
MIN_SCORE = 0.02
"""Lowest score in the precision-recall curve; the score threshold in use is higher."""
TP_IOU, FP_IOU = 0.5, 0.3
"""A detection with an IoU of at least `TP_IOU` with a face is a true positive, one below `FP_IOU` with every face a
false positive. In between it is ignored, and so is a second detection of the same face."""
MIN_PRECISION = 0.9


class SizeRange(NamedTuple):
    """Half-open range of the shorter side of faces, ``low <= side < high``, in pixels."""

    low: float
    high: float

    def __str__(self) -> str:
        if self.low > 0:
            return f"{self.low:g} px or more" if self.high == np.inf else f"{self.low:g} to {self.high:g} px"
        return "all sizes" if self.high == np.inf else f"below {self.high:g} px"

    def contains(self, side: float) -> bool:
        """Whether the shorter side of a face is in the range."""
        return self.low <= side < self.high


LARGE, SMALL, TINY, ALL = SizeRange(24, np.inf), SizeRange(12, 24), SizeRange(8, 12), SizeRange(0, np.inf)


class Match(NamedTuple):
    """A true positive (a detection that matches a certain face) or a false positive.

    Args:
        score: of the detection.
        side: shorter side of the matched face, or of the detection if it is a false positive, in pixels.
        is_tp: whether it is a true positive.
        landmark_error: mean of the five landmarks, in distances between the eyes of the label; NaN if not `is_tp`.
        eye_distance: between the eyes of the label, in widths of its box; NaN if not `is_tp`.
    """

    score: float
    side: float
    is_tp: bool
    landmark_error: float = np.nan
    eye_distance: float = np.nan


@dataclass(frozen=True)
class MatchSet:
    """Matches of a set of images.

    Args:
        matches: true and false positives.
        sides: (n,) shorter sides of all certain faces, in pixels.
    """

    matches: tuple[Match, ...]
    sides: tuple[float, ...]

    def curve(self, sizes: SizeRange = ALL) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Precision-recall curve of a size range: scores in descending order, recall and precision, each (n,)."""
        ranked = sorted((match for match in self.matches if sizes.contains(match.side)), key=lambda m: -m.score)
        tp, scores = np.cumsum([match.is_tp for match in ranked]), np.array([match.score for match in ranked])
        return scores, tp / max(1, self.num_faces(sizes)), tp / np.arange(1, len(ranked) + 1)

    def num_faces(self, sizes: SizeRange = ALL) -> int:
        """Number of certain faces in a size range."""
        return sum(sizes.contains(side) for side in self.sides)

    def recall(self, sizes: SizeRange = ALL, precision: float = MIN_PRECISION) -> float:
        """Highest recall at a precision of at least `precision`, 0..1."""
        _, recalls, precisions = self.curve(sizes)
        return float(recalls[precisions >= precision].max(initial=0.0))

    def recall_at(self, score: float, sizes: SizeRange = ALL) -> float:
        """Recall at a score threshold, 0..1."""
        tp = sum(m.is_tp and m.score >= score and sizes.contains(m.side) for m in self.matches)
        return tp / max(1, self.num_faces(sizes))

    def average_precision(self, sizes: SizeRange = ALL) -> float:
        """Area under the precision envelope over recall, 0..1."""
        _, recalls, precisions = self.curve(sizes)
        envelope = np.maximum.accumulate(precisions[::-1])[::-1]
        return float((np.diff(recalls, prepend=0.0) * envelope).sum())


def match_scenes(pairs: Iterable[tuple[Detections, LabeledFaces]]) -> MatchSet:
    """Match the detections of each image to its labels."""
    matches: list[Match] = []
    sides: list[float] = []
    for detections, faces in pairs:
        matches += match_faces(detections, faces)
        sides += short_sides(faces.boxes_xyxy)[faces.certain].tolist()
    return MatchSet(tuple(matches), tuple(sides))


def match_faces(detections: Detections, faces: LabeledFaces) -> list[Match]:
    """True and false positives of one image, highest score first; detections of uncertain faces are ignored."""
    order = np.argsort(-detections.scores, kind="stable")
    ious = iou_matrix(detections.boxes_xyxy, faces.boxes_xyxy)
    detection_sides, face_sides = short_sides(detections.boxes_xyxy), short_sides(faces.boxes_xyxy)
    matched: set[int] = set()
    matches = []
    for i in order:
        j = int(ious[i].argmax()) if len(faces) else -1
        iou = ious[i, j] if len(faces) else 0.0
        score = float(detections.scores[i])
        if iou >= TP_IOU and j not in matched:
            matched.add(j)
            if faces.certain[j]:
                points = faces.landmarks[j].reshape(5, 2)
                width = faces.boxes_xyxy[j, 2] - faces.boxes_xyxy[j, 0]
                error, eyes = landmark_error(detections.landmarks[i], points), np.linalg.norm(points[0] - points[1])
                matches.append(Match(score, float(face_sides[j]), True, error, float(eyes / width)))
        elif iou < FP_IOU:
            matches.append(Match(score, float(detection_sides[i]), False))
    return matches


def landmark_error(predicted: NDArray[np.float32], true: NDArray[np.float32]) -> float:
    """Mean distance of landmarks (5, 2), in true distances between the eyes."""
    eyes = max(1e-3, float(np.linalg.norm(true[0] - true[1])))
    return float(np.linalg.norm(predicted - true, axis=1).mean()) / eyes


def iou_matrix(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pairwise IoU of boxes (n, 4) and (m, 4), xyxy: (n, m)."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    intersection = np.clip(sides, 0, None).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b)]
    iou: NDArray[np.float32] = intersection / np.maximum(areas[0][:, None] + areas[1] - intersection, 1e-9)
    return iou


def short_sides(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Minimum of width and height of boxes (n, 4), xyxy: (n,)."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).min(1), np.float32)


def detect_with(session: Session, score: float = MIN_SCORE) -> Detect:
    """Detection function for frames of any size: one pass at full resolution, decoding and NMS."""

    def detect(frame: NDArray[np.uint8]) -> Detections:
        image = pad_grey(frame, session.io_spec)
        maps = session.infer(image[None])[0]
        return nms(decode(maps, image.shape[0], image.shape[1], score), NMS_IOU)

    return detect
