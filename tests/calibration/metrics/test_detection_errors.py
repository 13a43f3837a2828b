"""False negatives and false positives of a detector, in order of severity."""

import pytest
from facesr_edge.calibration.metrics.detection_report import false_negatives, false_positives, predict_scenes

from ..conftest import detections, face


@pytest.fixture
def predictions(scenes, scripted):
    labels = {
        "scene_a": [face(10, 10, 20), face(60, 10, 40), face(110, 10, 30), face(10, 70, 30, score=0.5)],
        "scene_b": [],
    }
    results = (
        detections((60, 10, 40, 0.5), (110, 10, 30, 0.9), (10, 70, 30, 0.9), (110, 80, 30, 0.75)),
        detections((40, 40, 24, 0.8), (90, 40, 24, 0.4)),
    )
    return [predict_scenes(scripted(*results), scene) for scene in scenes(labels)]


def test_missed_faces_are_sorted_by_size_with_their_best_score(predictions):
    assert [(error.side, error.score) for error in false_negatives(predictions, 0.7)] == [(40, 0.5), (20, None)]


def test_false_positives_are_sorted_by_score_without_uncertain_faces(predictions):
    errors = [(error.scene.name, error.side, error.score) for error in false_positives(predictions, 0.7)]
    assert errors == [("scene_b.png", 24, pytest.approx(0.8)), ("scene_a.png", 30, 0.75)]


def test_lower_threshold_has_fewer_misses_and_more_false_positives(predictions):
    assert [error.side for error in false_negatives(predictions, 0.3)] == [20]
    assert len(false_positives(predictions, 0.3)) == 3
