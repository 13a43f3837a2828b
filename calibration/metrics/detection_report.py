"""Detector evaluation on labelled scenes: metrics by image group and face size, landmark error, detection errors.

Labels made by a teacher detector favor that teacher: on the image that it labelled, its boxes are correct by
definition. Therefore each image is also evaluated mirrored and slightly downscaled, where the teacher has to detect the
faces again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.postprocess import Detections
from ..data.detection import LabeledFaces, Scene
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

SIZE_RANGES = (LARGE, SMALL, TINY, ALL)
FROM_12 = SizeRange(SMALL.low, np.inf)
MIRRORED = "mirrored"
"""Group of all images, mirrored and downscaled by `MIRRORED_SCALE`; face sizes are those after downscaling."""
MIRRORED_SCALE = 0.9
MIN_FRONTAL_EYES = 0.25
"""Minimum distance between the eyes of a frontal face, in widths of its box."""
LIGHT = 0.1
"""Gray levels of dark images, as a fraction of the original's."""
MAX_FP_PER_SCENE = 40
"""`fp_threshold` allows one image with a false positive per this many images without faces."""


@dataclass(frozen=True, eq=False)
class ScenePredictions:
    """A scene and its detections down to `MIN_SCORE`.

    Args:
        scene, detections: image with labels, and the detections in it.
        mirrored_detections, mirrored_faces: detections in the mirrored and downscaled image, and its labels.
        degraded: key of `DEGRADATIONS` -> detections in the degraded image.
    """

    scene: Scene
    detections: Detections
    mirrored_detections: Detections
    mirrored_faces: LabeledFaces
    degraded: Mapping[str, Detections]


@dataclass(frozen=True)
class SizeRow:
    """Metrics of one size range in one group of images.

    Args:
        group: "all", a kind of scene, or `MIRRORED`.
        sizes, faces: range of the faces' shorter sides, and number of certain faces in it, at least one.
        recall, average_precision: 0..1, recall at 90 % precision.
    """

    group: str
    sizes: SizeRange
    faces: int
    recall: float
    average_precision: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON; an unlimited range has "to_px": null."""
        to_px = self.sizes.high if math.isfinite(self.sizes.high) else None
        metrics = {"recall": round(self.recall, 4), "average_precision": round(self.average_precision, 4)}
        return {"group": self.group, "from_px": self.sizes.low, "to_px": to_px, "faces": self.faces, **metrics}


@dataclass(frozen=True)
class Landmarks:
    """Landmark errors of detected faces of at least 24 px, in distances between the eyes; None without such faces.

    In a profile view the eyes nearly coincide, and an error relative to their distance is meaningless: one such face
    can outweigh all others. Therefore the mean over frontal faces, and the median, which a few profiles barely change.

    Args:
        faces, mean, median: number of detected faces with labelled landmarks, mean and median error.
        frontal_faces, frontal_mean: those whose labelled eyes are at least `MIN_FRONTAL_EYES` apart.
    """

    faces: int
    mean: float | None
    median: float | None
    frontal_faces: int
    frontal_mean: float | None


@dataclass(frozen=True)
class FalsePositives:
    """False positives in images without labels.

    Args:
        images: number of images without labels.
        count: detections in them at the score threshold in use.
        fp_threshold: lowest score threshold, in steps of 0.001, with a false positive in at most one of
            `MAX_FP_PER_SCENE` images; with fewer images, in none. None without such images or such a threshold.
    """

    images: int
    count: int
    fp_threshold: float | None

    @property
    def per_image(self) -> float:
        """Mean number of false positives per image."""
        return self.count / max(1, self.images)


@dataclass(frozen=True)
class Robustness:
    """Detection in degraded images at the score threshold in use.

    Args:
        degradation: key of `DEGRADATIONS`.
        faces: number of certain faces that are detected in the original images.
        detected: fraction of these that are detected in the degraded images too, 0..1; None without such faces.
        background_false_positives: false positives in degraded images without labels.
    """

    degradation: str
    faces: int
    detected: float | None
    background_false_positives: int


@dataclass(frozen=True)
class DetectorQuality:
    """Metrics of a detector on a set of scenes.

    Args:
        images: number of images.
        score: score threshold in use.
        rows: one per group and size range that has faces.
        recall_from_12: recall of faces of at least 12 px at the score threshold, 0..1; None without such faces.
        false_positives: in all images, at the score threshold.
        landmarks, background: landmark errors, and false positives in images without faces.
        robustness: one for each degradation.
    """

    images: int
    score: float
    rows: tuple[SizeRow, ...]
    recall_from_12: float | None
    false_positives: int
    landmarks: Landmarks
    background: FalsePositives
    robustness: tuple[Robustness, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, rounded to 4 decimals."""
        return {
            "images": self.images,
            "score": self.score,
            "rows": [row.to_dict() for row in self.rows],
            "recall_from_12_px": _rounded(self.recall_from_12),
            "landmark_error": {name: _rounded(value) for name, value in vars(self.landmarks).items()},
            "false_positives": self.false_positives,
            "background": {**vars(self.background), "per_image": _rounded(self.background.per_image)},
            "robustness": [{**vars(each), "detected": _rounded(each.detected)} for each in self.robustness],
        }


def predict_scenes(detect: Detect, scene: Scene) -> ScenePredictions:
    """Run a detector with a score threshold of `MIN_SCORE` or less on a scene, its mirror image (`mirror_scene`) and
    its degraded images (`DEGRADATIONS`).

    Raises:
        InputError: the image cannot be read.
    """
    image = scene.read()
    mirrored, mirrored_faces = mirror_scene(image, scene.faces)
    degraded = {name: detect(degrade(image)) for name, degrade in DEGRADATIONS.items()}
    return ScenePredictions(scene, detect(image), detect(mirrored), mirrored_faces, degraded)


def grayscale(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The luma of an image (H, W, 3) BGR in all three channels."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)


def darken(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image with `LIGHT` of its gray levels, rounded down."""
    return np.asarray((image * np.float32(LIGHT)).astype(np.uint8))


DEGRADATIONS = {"grayscale": grayscale, f"{100 * LIGHT:g} % of the light": darken}
"""Name -> function of an image (H, W, 3) BGR."""


def mirror_scene(image: NDArray[np.uint8], faces: LabeledFaces) -> tuple[NDArray[np.uint8], LabeledFaces]:
    """Mirror an image (H, W, 3) and its labels horizontally and downscale them by `MIRRORED_SCALE`."""
    flipped: Any = np.ascontiguousarray(image[:, ::-1])
    mirrored = cv2.resize(flipped, None, fx=MIRRORED_SCALE, fy=MIRRORED_SCALE, interpolation=cv2.INTER_AREA)
    return np.asarray(mirrored, np.uint8), faces.mirrored(image.shape[1]).scaled(MIRRORED_SCALE)


def detector_quality(predictions: Sequence[ScenePredictions], score: float) -> DetectorQuality:
    """Compute the metrics of a detector at a score threshold, 0..1, from predictions with a lower one."""
    pairs = [(p.detections, p.scene.faces) for p in predictions]
    groups = {"all": pairs}
    for kind in sorted({p.scene.kind for p in predictions}):
        groups[kind] = [pair for p, pair in zip(predictions, pairs, strict=True) if p.scene.kind == kind]
    groups[MIRRORED] = [(p.mirrored_detections, p.mirrored_faces) for p in predictions]
    match_sets = {group: match_scenes(group_pairs) for group, group_pairs in groups.items()}
    matched = match_sets["all"]
    return DetectorQuality(
        images=len(predictions),
        score=score,
        rows=tuple(row for group, matches in match_sets.items() for row in rows(group, matches)),
        recall_from_12=matched.recall_at(score, FROM_12) if matched.num_faces(FROM_12) else None,
        false_positives=sum(not match.is_tp and match.score >= score for match in matched.matches),
        landmarks=landmarks(matched),
        background=false_positive_report([detections for detections, faces in pairs if not len(faces)], score),
        robustness=tuple(robustness(name, predictions, score) for name in DEGRADATIONS),
    )


def rows(group: str, matched: MatchSet) -> list[SizeRow]:
    """One row for each of `SIZE_RANGES` that has faces."""
    return [
        SizeRow(group, sizes, matched.num_faces(sizes), matched.recall(sizes), matched.average_precision(sizes))
        for sizes in SIZE_RANGES
        if matched.num_faces(sizes)
    ]


def landmarks(matched: MatchSet) -> Landmarks:
    """Landmark error statistics of detected faces of at least 24 px."""
    tp = [m for m in matched.matches if m.is_tp and LARGE.contains(m.side) and math.isfinite(m.landmark_error)]
    errors = [match.landmark_error for match in tp]
    frontal = [match.landmark_error for match in tp if match.eye_distance >= MIN_FRONTAL_EYES]
    median = float(np.median(errors)) if errors else None
    return Landmarks(len(errors), _mean(errors), median, len(frontal), _mean(frontal))


def false_positive_report(background: Sequence[Detections], score: float) -> FalsePositives:
    """False positives from the detections of images without faces."""
    scores = np.concatenate([np.zeros(0, np.float32), *(detections.scores for detections in background)])
    threshold = fp_threshold(scores.tolist(), len(background))
    return FalsePositives(len(background), int((scores >= score).sum()), threshold)


def fp_threshold(scores: Iterable[float], images: int) -> float | None:
    """`FalsePositives.fp_threshold` from the scores of all false positives down to `MIN_SCORE`, in `images` images."""
    excess = sorted(scores, reverse=True)[images // MAX_FP_PER_SCENE :]  # the threshold lies above the first of these
    threshold = (math.floor(excess[0] * 1000) + 1) / 1000 if excess else MIN_SCORE
    return threshold if images and threshold <= 1 else None


def robustness(degradation: str, predictions: Sequence[ScenePredictions], score: float) -> Robustness:
    """`Robustness` to one of the degradations of the predictions."""
    faces, both, background = 0, 0, 0
    for p in predictions:
        degraded, labels = p.degraded[degradation], p.scene.faces
        found = best_scores(p.detections, labels) >= score
        faces += int(found.sum())
        both += int((found & (best_scores(degraded, labels) >= score)).sum())
        background += 0 if len(labels) else int((degraded.scores >= score).sum())
    return Robustness(degradation, faces, both / faces if faces else None, background)


def best_scores(detections: Detections, faces: LabeledFaces) -> NDArray[np.float32]:
    """Highest score of a detection with IoU >= `TP_IOU` with each face, (n,); -1 without one or for uncertain faces."""
    matching = iou_matrix(detections.boxes_xyxy, faces.boxes_xyxy) >= TP_IOU  # (detections, faces)
    scores = np.where(matching & faces.certain, detections.scores[:, None], np.float32(-1))
    return np.asarray(scores.max(0, initial=-1), np.float32)


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


@dataclass(frozen=True, eq=False)
class DetectionError:
    """A false negative or a false positive at a score threshold.

    Args:
        kind: "missed" for a certain face without a detection, "false positive" for a detection without a face.
        scene: the image.
        box_xyxy: (4,) box of the face or the detection, in pixels.
        side: shorter side of the box, in pixels.
        score: of the detection; for a missed face, the highest score below the threshold with a matching box, None
            without a matching box.
    """

    kind: Literal["missed", "false positive"]
    scene: Scene
    box_xyxy: NDArray[np.float32]
    side: float
    score: float | None


def false_negatives(predictions: Sequence[ScenePredictions], score: float) -> list[DetectionError]:
    """Certain faces without a detection of IoU >= `TP_IOU` at a score threshold, largest first."""
    errors = []
    for p in predictions:
        faces = p.scene.faces
        sides, best = short_sides(faces.boxes_xyxy), best_scores(p.detections, faces)
        for n in np.flatnonzero(faces.certain):
            if best[n] < score:
                below = float(best[n]) if best[n] >= 0 else None
                errors.append(DetectionError("missed", p.scene, faces.boxes_xyxy[n], float(sides[n]), below))
    return sorted(errors, key=lambda error: -error.side)


def false_positives(predictions: Sequence[ScenePredictions], score: float) -> list[DetectionError]:
    """Detections at a score threshold with IoU < `FP_IOU` to every label, uncertain ones included; highest score
    first."""
    errors = []
    for p in predictions:
        boxes, scores = p.detections.boxes_xyxy, p.detections.scores
        ious = iou_matrix(boxes, p.scene.faces.boxes_xyxy).max(1, initial=0.0)
        sides = short_sides(boxes)
        for n in np.flatnonzero((ious < FP_IOU) & (scores >= score)):
            errors.append(DetectionError("false positive", p.scene, boxes[n], float(sides[n]), float(scores[n])))
    return sorted(errors, key=lambda error: -(error.score or 0.0))
