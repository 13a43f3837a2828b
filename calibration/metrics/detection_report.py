"""Everything that is asked of a detector, measured on labelled scenes.

Labels that a detector made, the teacher, flatter it: on the very pixels that it labelled, its boxes are right by
definition. So each picture is also shown mirrored and shrunk a little, where the teacher has to find its own faces anew
like everybody else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.postprocess import Detections
from ..data.detection import LabelledFaces, Scene
from .detection import (
    ALL,
    FP_IOU,
    LARGE,
    MIN_SCORE,
    SMALL,
    TINY,
    TP_IOU,
    Detect,
    MatchSet,
    SizeRange,
    iou_matrix,
    match_scenes,
    short_sides,
)

BANDS = (LARGE, SMALL, TINY, ALL)
FROM_12 = SizeRange(SMALL.low, np.inf)
MIRRORED = "mirrored"
"""Name of the group that has all pictures mirrored and shrunk by `SHRINK`; faces count by the size they have there."""
SHRINK = 0.9
FRONTAL = 0.25
"""Eyes at least this far apart, in widths of the face's box, are a yardstick."""
MAX_FP_PER_SCENE = 40
"""At most one false alarm in so many pictures without faces is quiet."""


@dataclass(frozen=True, eq=False)
class ScenePredictions:
    """A scene, and what a detector found in it, down to scores that are of no use but rank.

    Args:
        scene: the picture and its faces.
        found: in the picture.
        mirrored: found in the mirrored and shrunk picture.
        mirrored_faces: the labels of that.
    """

    scene: Scene
    found: Detections
    mirrored: Detections
    mirrored_faces: LabelledFaces


@dataclass(frozen=True)
class SizeRow:
    """Faces of one band of sizes in one group of pictures.

    Args:
        group: "all", a kind of picture, or `MIRRORED`.
        band: of the faces' shorter sides.
        faces: certain ones, at least one.
        recall: the largest share found at 90 % precision, 0..1.
        average_precision: 0..1.
    """

    group: str
    band: SizeRange
    faces: int
    recall: float
    average_precision: float

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; the band as its least and most pixels, none for no limit."""
        most = self.band.high if math.isfinite(self.band.high) else None
        figures = {"recall": round(self.recall, 4), "average_precision": round(self.average_precision, 4)}
        return {"group": self.group, "from_px": self.band.low, "to_px": most, "faces": self.faces, **figures}


@dataclass(frozen=True)
class Landmarks:
    """Errors of the landmarks of the faces found that have 24 pixels or more, in distances between the eyes.

    In a profile both eyes are nearly at one place, and an error in their distance says nothing: one such face can weigh
    as much as all others. So there is a mean over frontal faces alone, whose labelled eyes are at least a quarter of
    the box's width apart, and a median, which a few such faces do not move.

    Args:
        faces: found ones, with landmarks in their labels.
        mean: over these; none where there are none, as below.
        median: over these.
        frontal_faces: how many of them are frontal.
        frontal_mean: over the frontal ones.
    """

    faces: int
    mean: float | None
    median: float | None
    frontal_faces: int
    frontal_mean: float | None


@dataclass(frozen=True)
class FalsePositives:
    """False alarms in the pictures that have no label at all.

    Args:
        pictures: without a label.
        count: of detections there, at the score in use.
        quiet_score: from which score on, in thousandths, at most one picture in 40 has an alarm; with fewer pictures
            than that none has. None where there is no such picture or no such score.
    """

    pictures: int
    count: int
    quiet_score: float | None

    @property
    def a_picture(self) -> float:
        """How many a picture."""
        return self.count / max(1, self.pictures)


@dataclass(frozen=True)
class DetectorQuality:
    """All figures of a detector on one set of scenes.

    Args:
        pictures: how many.
        score: the least score in use.
        rows: groups and bands that have faces.
        recall_from_12: share of the faces from 12 pixels on that are found at the score in use, 0..1; none without any.
        false_alarms: in all pictures, at the score in use.
        landmarks: their errors.
        alarms: on pictures without faces.
    """

    pictures: int
    score: float
    rows: tuple[SizeRow, ...]
    recall_from_12: float | None
    false_alarms: int
    landmarks: Landmarks
    alarms: FalsePositives

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, rounded to what the digits are worth."""
        return {
            "pictures": self.pictures,
            "score": self.score,
            "rows": [row.to_dict() for row in self.rows],
            "recall_from_12_px": _rounded(self.recall_from_12),
            "landmark_error": {name: _rounded(value) for name, value in vars(self.landmarks).items()},
            "false_alarms": {**vars(self.alarms), "a_picture": _rounded(self.alarms.a_picture)},
            "false_alarms_in_all": self.false_alarms,
        }


def predict_scenes(detect: Detect, scene: Scene) -> ScenePredictions:
    """Show a detector a scene, as it is and `predict_mirrored`.

    Args:
        detect: down to the lowest score that is to be ranked.
        scene: its picture is read.

    Raises:
        InputError: the picture cannot be read.
    """
    picture = scene.read()
    mirror, faces = predict_mirrored(picture, scene.faces)
    return ScenePredictions(scene, detect(picture), detect(mirror), faces)


def predict_mirrored(picture: NDArray[np.uint8], faces: LabelledFaces) -> tuple[NDArray[np.uint8], LabelledFaces]:
    """A picture (H, W, 3) mirrored left to right and shrunk by `SHRINK`, and its faces there."""
    turned: Any = np.ascontiguousarray(picture[:, ::-1])
    shrunk = cv2.resize(turned, None, fx=SHRINK, fy=SHRINK, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8), faces.mirrored(picture.shape[1]).scaled(SHRINK)


def detector_quality(seen: Sequence[ScenePredictions], score: float) -> DetectorQuality:
    """Measure what a detector found.

    Args:
        seen: all scenes, looked at with a score that is lower than any in use.
        score: the least score in use, 0..1.
    """
    plain = [(one.found, one.scene.faces) for one in seen]
    kinds = sorted({one.scene.kind for one in seen})
    groups = {"all": plain}
    for kind in kinds:
        groups[kind] = [pair for one, pair in zip(seen, plain, strict=True) if one.scene.kind == kind]
    groups[MIRRORED] = [(one.mirrored, one.mirrored_faces) for one in seen]
    judgements = {group: match_scenes(pairs) for group, pairs in groups.items()}
    whole = judgements["all"]
    return DetectorQuality(
        pictures=len(seen),
        score=score,
        rows=tuple(row for group, judgement in judgements.items() for row in rows(group, judgement)),
        recall_from_12=whole.recall_at(score, FROM_12) if whole.faces(FROM_12) else None,
        false_alarms=sum(not v.hit and v.score >= score for v in whole.verdicts),
        landmarks=landmarks(whole),
        alarms=false_positive_report([found for found, faces in plain if not len(faces)], score),
    )


def rows(group: str, judgement: MatchSet) -> list[SizeRow]:
    """One row for each of `BANDS` that has faces."""
    return [
        SizeRow(group, band, judgement.faces(band), judgement.recall(band), judgement.average_precision(band))
        for band in BANDS
        if judgement.faces(band)
    ]


def landmarks(judgement: MatchSet) -> Landmarks:
    """Sum up the landmark errors of the faces of 24 pixels or more."""
    hits = [v for v in judgement.verdicts if v.hit and LARGE.holds(v.side) and math.isfinite(v.landmark_error)]
    errors = [hit.landmark_error for hit in hits]
    frontal = [hit.landmark_error for hit in hits if hit.eyes >= FRONTAL]
    median = float(np.median(errors)) if errors else None
    return Landmarks(len(errors), _mean(errors), median, len(frontal), _mean(frontal))


def false_positive_report(found: Sequence[Detections], score: float) -> FalsePositives:
    """Count the detections of pictures without faces."""
    scores = [detections.scores for detections in found]
    ranked = np.concatenate(scores).tolist() if scores else []
    return FalsePositives(
        len(found), sum(int((each >= score).sum()) for each in scores), fp_threshold(ranked, len(found))
    )


def fp_threshold(scores: Iterable[float], pictures: int) -> float | None:
    """The least score, in thousandths, that at most one false alarm in `MAX_FP_PER_SCENE` pictures reaches; see `FalsePositives`.

    Args:
        scores: of all false alarms, down to `MIN_SCORE`.
        pictures: that they are in.
    """
    ranked = sorted(scores, reverse=True)
    loud = ranked[pictures // MAX_FP_PER_SCENE :]  # the first of these is one too many
    least = (math.floor(loud[0] * 1000) + 1) / 1000 if loud else MIN_SCORE
    return least if pictures and least <= 1 else None


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


@dataclass(frozen=True, eq=False)
class DetectionError:
    """One place where a detector is wrong at a score.

    Args:
        kind: a certain face that no detection hits, or a detection where there is no face.
        scene: the picture.
        box_xyxy: (4,) of the face or the detection, in pixels.
        side: its shorter side, in pixels.
        score: of the detection; of a missed face, the best score below the one in use that would have hit it, none
            where there is no such detection at all.
    """

    kind: Literal["missed", "alarm"]
    scene: Scene
    box_xyxy: NDArray[np.float32]
    side: float
    score: float | None


def false_negatives(seen: Sequence[ScenePredictions], score: float) -> list[DetectionError]:
    """Certain faces that no detection of that score or above overlaps by half or more, largest first."""
    found = []
    for one in seen:
        faces = one.scene.faces
        hits = iou_matrix(one.found.boxes_xyxy, faces.boxes_xyxy) >= TP_IOU  # (detections, faces)
        sides = short_sides(faces.boxes_xyxy)
        for n in np.flatnonzero(faces.certain):
            best = one.found.scores[hits[:, n]].max(initial=-1.0)
            if best < score:
                fainter = float(best) if best >= 0 else None
                found.append(DetectionError("missed", one.scene, faces.boxes_xyxy[n], float(sides[n]), fainter))
    return sorted(found, key=lambda wrong: -wrong.side)


def false_positives(seen: Sequence[ScenePredictions], score: float) -> list[DetectionError]:
    """Detections of that score or above that are no labelled face, not even an uncertain one; highest score first."""
    found = []
    for one in seen:
        boxes, scores = one.found.boxes_xyxy, one.found.scores
        nearest = iou_matrix(boxes, one.scene.faces.boxes_xyxy).max(1, initial=0.0)
        sides = short_sides(boxes)
        for n in np.flatnonzero((nearest < FP_IOU) & (scores >= score)):
            found.append(DetectionError("alarm", one.scene, boxes[n], float(sides[n]), float(scores[n])))
    return sorted(found, key=lambda wrong: -(wrong.score or 0.0))
