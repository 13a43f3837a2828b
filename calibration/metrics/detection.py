"""How good a detector is: recall at 90 % precision and average precision by face size, false alarms, landmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...engines.postprocess import NMS_IOU, Detections, decode, padded, suppress
from ...engines.session import Session
from ..data.detection import LabelledFaces

Detect = Callable[[NDArray[np.uint8]], Detections]
MIN_SCORE = 0.02
"""Scores from here on are ranked; a threshold for use comes later."""
TP_IOU, FP_IOU = 0.5, 0.3
"""A detection whose IoU with a face is at least the first hits it, one below the second is a false alarm; one between
is neither, nor is a second one of the same face."""
PRECISION = 0.9


class SizeRange(NamedTuple):
    """Faces whose shorter side has ``low`` to ``high`` pixels, the latter not included."""

    low: float
    high: float

    def __str__(self) -> str:
        if self.low > 0:
            return f"{self.low:g} px or more" if self.high == np.inf else f"{self.low:g} to {self.high:g} px"
        return "all sizes" if self.high == np.inf else f"below {self.high:g} px"

    def holds(self, side: float) -> bool:
        """Whether a face of that shorter side is one of them."""
        return self.low <= side < self.high


LARGE, SMALL, TINY, ALL = SizeRange(24, np.inf), SizeRange(12, 24), SizeRange(8, 12), SizeRange(0, np.inf)


class Match(NamedTuple):
    """On one detection.

    Args:
        score: its score.
        side: the shorter side of the face it hits, or else its own, in pixels.
        hit: whether it hits a certain face.
        landmark_error: mean distance of its five landmarks from the face's, in distances between the face's eyes; not a
            number for a false alarm.
        eyes: distance between the eyes of the face it hits, in widths of the face's box; likewise.
    """

    score: float
    side: float
    hit: bool
    landmark_error: float = np.nan
    eyes: float = np.nan


@dataclass(frozen=True)
class MatchSet:
    """All verdicts on a set of pictures.

    Args:
        verdicts: of hits and false alarms.
        sides: (n,) shorter sides in pixels of all certain faces.
    """

    verdicts: tuple[Match, ...]
    sides: tuple[float, ...]

    def curve(self, band: SizeRange = ALL) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Scores, recall and precision, each (n,), as the least score falls over the detections of a band."""
        ranked = sorted((v for v in self.verdicts if band.holds(v.side)), key=lambda v: -v.score)
        hits = np.cumsum([v.hit for v in ranked])
        return (
            np.array([v.score for v in ranked]),
            hits / max(1, self.faces(band)),
            hits / np.arange(1, len(ranked) + 1),
        )

    def faces(self, band: SizeRange = ALL) -> int:
        """How many certain faces a band has."""
        return sum(band.holds(side) for side in self.sides)

    def recall(self, band: SizeRange = ALL, precision: float = PRECISION) -> float:
        """The largest share of a band's faces found at a precision, 0..1."""
        _, recall, reached = self.curve(band)
        return float(recall[reached >= precision].max(initial=0.0))

    def recall_at(self, score: float, band: SizeRange = ALL) -> float:
        """The share of a band's faces found at a score or above, whatever the precision, 0..1."""
        found = sum(v.hit and v.score >= score and band.holds(v.side) for v in self.verdicts)
        return found / max(1, self.faces(band))

    def average_precision(self, band: SizeRange = ALL) -> float:
        """Area below the curve of precision over recall, the precision made to fall monotonically, 0..1."""
        _, recall, precision = self.curve(band)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return float((np.diff(recall, prepend=0.0) * envelope).sum())


def match_scenes(found: Iterable[tuple[Detections, LabelledFaces]]) -> MatchSet:
    """Hold the detections of each picture against its faces."""
    verdicts: list[Match] = []
    sides: list[float] = []
    for detections, faces in found:
        verdicts += match_faces(detections, faces)
        sides += short_sides(faces.boxes_xyxy)[faces.certain].tolist()
    return MatchSet(tuple(verdicts), tuple(sides))


def match_faces(found: Detections, faces: LabelledFaces) -> list[Match]:
    """Hits and false alarms of one picture; detections of uncertain faces count neither way."""
    order = np.argsort(-found.scores, kind="stable")
    ious = iou_matrix(found.boxes_xyxy, faces.boxes_xyxy)
    own, sides = short_sides(found.boxes_xyxy), short_sides(faces.boxes_xyxy)
    taken: set[int] = set()
    verdicts = []
    for i in order:
        j = int(ious[i].argmax()) if len(faces) else -1
        iou = ious[i, j] if len(faces) else 0.0
        if iou >= TP_IOU and j not in taken:
            taken.add(j)
            if faces.certain[j]:
                points = faces.landmarks[j].reshape(5, 2)
                width = faces.boxes_xyxy[j, 2] - faces.boxes_xyxy[j, 0]
                error, eyes = landmark_error(found.landmarks[i], points), np.linalg.norm(points[0] - points[1]) / width
                verdicts.append(Match(float(found.scores[i]), float(sides[j]), True, error, float(eyes)))
        elif iou < FP_IOU:
            verdicts.append(Match(float(found.scores[i]), float(own[i]), False))
    return verdicts


def landmark_error(found: NDArray[np.float32], true: NDArray[np.float32]) -> float:
    """Mean distance of landmarks (5, 2), in distances between the true eyes."""
    eyes = max(1e-3, float(np.linalg.norm(true[0] - true[1])))
    return float(np.linalg.norm(found - true, axis=1).mean()) / eyes


def iou_matrix(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """IoU of each box of (n, 4) with each of (m, 4), x1, y1, x2, y2: (n, m)."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    both = np.clip(sides, 0, None).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b)]
    iou: NDArray[np.float32] = both / np.maximum(areas[0][:, None] + areas[1] - both, 1e-9)
    return iou


def short_sides(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 4) boxes -> (n,) the smaller of width and height."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).min(1), np.float32)


def detect_with(session: Session, score: float = MIN_SCORE) -> Detect:
    """A function from a frame of any size to its detections, at full resolution and in one piece."""

    def detect(frame: NDArray[np.uint8]) -> Detections:
        picture = padded(frame, session.io_spec)
        maps = session.infer(picture[None])[0]
        return suppress(decode(maps, picture.shape[0], picture.shape[1], score), NMS_IOU)

    return detect
