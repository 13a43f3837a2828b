"""Recall and false positives of the shipped detector."""

from pathlib import Path

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.calibration.data.detection import read_scenes
from facesr_edge.calibration.metrics.detection import LARGE, MIN_SCORE, SMALL, TINY, iou_matrix, match_scenes
from facesr_edge.zoo.catalogue import DEFAULT_SCORE

SHARED = Path(__file__).parents[3].parent / "shared" / "detect"
needs_scenes = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the labelled images")
ASTRONAUT_BOX = np.array([[180, 62, 271, 177]], np.float32)


@pytest.fixture(scope="module")
def detector():
    detector = facesr_edge.load_detector(threads=1)
    yield detector
    detector.close()


@pytest.fixture(scope="module")
def predictions():
    """Pairs of each held-out scene and its detections down to `MIN_SCORE`."""
    detector = facesr_edge.load_detector(score=MIN_SCORE, threads=1)
    pairs = [(scene, detector(scene.read())) for scene in read_scenes(SHARED, "test")]
    detector.close()
    return pairs


def test_it_has_at_most_100000_parameters_and_a_card_with_its_metrics():
    card = facesr_edge.open_bundle(Path(facesr_edge.__file__).parent / "zoo" / "detector").card
    assert card.licence and len(card.limitations) >= 3 and card.training["steps"] > 0
    evaluation, *others = card.evaluations
    assert evaluation.precision == "fp32" and {one.precision for one in others} == {"fp16", "int8", "bf16"}
    assert {"average_precision", "from 24 px", "12 to 24 px", "8 to 12 px"} <= set(evaluation.metrics)
    assert {"network_ms", "false_positives"} <= set(evaluation.metrics)


@pytest.mark.parametrize("side", range(12, 92))
def test_the_astronaut_is_the_best_detection_at_every_size(detector, astronaut, side):
    factor = side / 91
    frame = cv2.resize(astronaut, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if side < 91 else astronaut
    detections = detector(frame)
    assert len(detections) and iou_matrix(detections.boxes_xyxy / factor, ASTRONAUT_BOX)[0, 0] >= 0.5


@needs_scenes
def test_every_face_of_the_contact_sheets_is_detected_at_the_default_score(predictions):
    for scene, detections in predictions:
        if scene.kind == "sheet":
            boxes = detections.boxes_xyxy[detections.scores >= DEFAULT_SCORE]
            hits = iou_matrix(scene.faces.boxes_xyxy, boxes) >= 0.5
            assert hits.any(1).all() and len(hits) > 50


@needs_scenes
def test_at_most_one_false_positive_in_40_scenes_without_faces(predictions):
    empty = [detections for scene, detections in predictions if scene.kind == "scene" and not len(scene.faces)]
    false_positives = sum(int((detections.scores >= DEFAULT_SCORE).sum()) for detections in empty)
    assert len(empty) > 30 and false_positives <= len(empty) / 40


@needs_scenes
@pytest.mark.parametrize(
    ("kinds", "size_range", "recall"),
    [
        ({"portrait", "scene", "sheet"}, LARGE, 0.97),
        ({"portrait", "scene", "sheet"}, SMALL, 0.65),
        ({"portrait", "scene", "sheet"}, TINY, 0.5),
        ({"event"}, LARGE, 0.8),  # not in the data of the detector's training; 0.847 of 72 faces measured
    ],
)
def test_recall_at_90_percent_precision_by_face_size(predictions, kinds, size_range, recall):
    matches = match_scenes((detections, scene.faces) for scene, detections in predictions if scene.kind in kinds)
    assert matches.recall(size_range) >= recall


def gray(image):
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def dark(image):
    """A tenth of the light, with noise."""
    noise = np.random.default_rng(0).normal(0, 1, image.shape)
    return np.clip(np.rint(image * 0.1 + noise), 0, 255).astype(np.uint8)


@needs_scenes
@pytest.mark.parametrize(("changed", "share"), [(gray, 0.88), (dark, 0.8)])
def test_faces_of_a_poor_picture_are_found_as_in_a_good_one(detector, predictions, changed, share):
    """Of the faces from 20 px in scenes: gray 0.89. On all held-out pictures, gray 0.95 and dark 0.92."""
    hits = []
    for scene, detections in predictions:
        boxes = detections.boxes_xyxy[detections.scores >= DEFAULT_SCORE]
        boxes = boxes[(boxes[:, 2:] - boxes[:, :2]).min(1, initial=np.inf) >= 20]
        if scene.kind != "portrait" and len(boxes):
            found = detector(changed(scene.read())).boxes_xyxy
            hits.append((iou_matrix(boxes, found) >= 0.4).any(1))
    assert np.concatenate(hits).mean() >= share
