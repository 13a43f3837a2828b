"""Where a detector is wrong, the worst first."""

import pytest
from facesr_edge.calibration.metrics.detection_report import false_negatives, false_positives, predict_scenes

from ..conftest import detections, face


@pytest.fixture
def seen(scenes, scripted):
    labels = {
        "scene_a": [face(10, 10, 20), face(60, 10, 40), face(110, 10, 30), face(10, 70, 30, score=0.5)],
        "scene_b": [],
    }
    script = (
        detections((60, 10, 40, 0.5), (110, 10, 30, 0.9), (10, 70, 30, 0.9), (110, 80, 30, 0.75)),
        detections((40, 40, 24, 0.8), (90, 40, 24, 0.4)),
    )
    return [predict_scenes(scripted(*script), scene) for scene in scenes(labels)]


def test_missed_faces_come_largest_first_with_the_score_they_would_have_had(seen):
    assert [(wrong.side, wrong.score) for wrong in false_negatives(seen, 0.7)] == [(40, 0.5), (20, None)]


def test_false_alarms_come_loudest_first_and_never_on_an_uncertain_face(seen):
    found = [(wrong.scene.name, wrong.side, wrong.score) for wrong in false_positives(seen, 0.7)]
    assert found == [("scene_b.png", 24, pytest.approx(0.8)), ("scene_a.png", 30, 0.75)]


def test_a_lower_score_turns_misses_into_alarms(seen):
    assert [wrong.side for wrong in false_negatives(seen, 0.3)] == [20]
    assert len(false_positives(seen, 0.3)) == 3
