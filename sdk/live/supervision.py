"""Faces as detections of the package supervision, for its annotators, zones and counters, and back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engines.errors import MissingDependencyError, UsageError
from ...engines.postprocess import Detections
from ..pipeline.results import FrameResult
from .results import LiveResult

if TYPE_CHECKING:
    import supervision

_log = logging.getLogger(__name__)

CLASS_NAME = "class_name"
"""Field of `supervision.Detections.data` with the names of the classes."""
SKIPPED = "skipped"
"""Treatment of a face that was not upscaled."""


def to_supervision(result: LiveResult | FrameResult | Detections, scale: float = 1) -> supervision.Detections:
    """All faces of a frame as `supervision.Detections` of class 0, "face"; also those that were not upscaled.

    Args:
        result: of a camera, a frame or a detector.
        scale: of the boxes; `result.outscale` to draw on the composite.

    Returns:
        With `tracker_id` for a camera, and in `data` "class_name"; for a camera and a frame "treatment" ("skipped" if
        the face was not upscaled); for a camera also "detected", "usability" and "usability_score"; for a detector
        "landmarks", (N, 5, 2).

    Raises:
        MissingDependencyError: supervision is not installed.
    """
    try:
        from supervision import Detections as SupervisionDetections
    except ImportError:
        raise MissingDependencyError("supervision", "supervision", "to_supervision") from None
    xyxy, scores, ids, data = _fields(result)
    if isinstance(result, Detections):
        data["landmarks"] = result.landmarks * np.float32(scale)
    return SupervisionDetections(
        xyxy=xyxy * np.float32(scale),
        confidence=scores,
        class_id=np.zeros(len(scores), np.int64),
        tracker_id=ids,
        data={CLASS_NAME: np.full(len(scores), "face"), **data},
    )


def _fields(result: LiveResult | FrameResult | Detections) -> tuple[Any, ...]:
    """Boxes, scores and track ids of all faces, and further fields of each."""
    if isinstance(result, Detections):
        return result.boxes_xyxy, result.scores, None, {}
    boxes = result.boxes
    if isinstance(result, FrameResult):
        treatments = ["network"] * len(result.faces) + [SKIPPED] * len(result.too_large)
        return boxes.xyxy, boxes.conf, None, {"treatment": np.array(treatments, np.str_)}
    unknown = len(result.skipped)
    data = {
        "treatment": np.array([face.treatment for face in result.faces] + [SKIPPED] * unknown, np.str_),
        "detected": np.array(
            [face.detected for face in result.faces] + [face.detected for face in result.skipped], np.bool_
        ),
        "usability": np.array([face.usability.verdict for face in result.faces] + [""] * unknown, np.str_),
        "usability_score": np.array([face.usability.score for face in result.faces] + [0.0] * unknown, np.float32),
    }
    return boxes.xyxy, boxes.conf, boxes.id, data


def from_supervision(
    detections: supervision.Detections, landmarks: NDArray[Any] | None = None, class_name: str | None = "face"
) -> Detections:
    """Faces that another detector found.

    Args:
        detections: for instance of `supervision.Detections.from_ultralytics`, in frame pixels. Without `confidence` the
            scores are 1.
        landmarks: (N, 5, 2) x, y of the two eyes, the nose and the corners of the mouth, as `supervision.KeyPoints.xy`
            of a face detector; None for those that `to_supervision` left in `data`. Without them landmarks are NaN:
            they are not needed to upscale, and guessed ones would make frontal faces of profiles.
        class_name: of the faces, if `detections` name classes; None to take all. That there is none in a frame is
            logged, since a detector of other classes never has one.

    Returns:
        Faces, best first.

    Raises:
        UsageError: another type, or boxes or landmarks that are not usable.
    """
    if not hasattr(detections, "xyxy") or not hasattr(detections, "data"):
        found = type(detections).__name__
        raise UsageError(
            f"expected supervision.Detections, got {found}; convert it, e.g. supervision.Detections.from_ultralytics(…)"
        )
    boxes = np.array(detections.xyxy, np.float32).reshape(-1, 4)
    if not np.isfinite(boxes).all() or not (boxes[:, 2:] > boxes[:, :2]).all():
        raise UsageError("expected boxes as left, top, right, bottom with right > left and bottom > top, all finite")
    given = detections.confidence
    scores = np.ones(len(boxes), np.float32) if given is None else np.array(given, np.float32)
    points = _landmarks(detections.data.get("landmarks") if landmarks is None else landmarks, len(boxes))
    kept = np.flatnonzero(_is_face(detections.data.get(CLASS_NAME), class_name, len(boxes)))
    order = kept[np.argsort(-scores[kept], kind="stable")]
    return Detections(boxes, scores, points)[order]


def _landmarks(landmarks: Any, count: int) -> NDArray[np.float32]:
    if landmarks is None:
        return np.full((count, 5, 2), np.nan, np.float32)
    points = np.array(landmarks, np.float32)
    if not count:
        return np.zeros((0, 5, 2), np.float32)
    if points.shape != (count, 5, 2):
        raise UsageError(f"expected landmarks of shape {(count, 5, 2)}, got {points.shape}")
    return points


def _is_face(names: Any, class_name: str | None, count: int) -> NDArray[np.bool_]:
    """(N,) whether each detection has the class of that name; all have it if classes have no names."""
    if class_name is None or names is None or not count:
        return np.ones(count, np.bool_)
    is_face = np.char.lower(np.array(names, np.str_)) == class_name.lower()
    if not is_face.any():
        found = ", ".join(sorted(set(map(str, names))))
        _log.warning("no detection of class '%s' among %s; give class_name=, or None for all", class_name, found)
    return np.asarray(is_face)
