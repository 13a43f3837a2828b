"""The detector in the box: what it must find, at the sizes that frames have, and where it must keep silent."""

from pathlib import Path

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.calibration.data.detection import read_scenes
from facesr_edge.calibration.metrics.detection import LARGE, MIN_SCORE, SMALL, TINY, iou_matrix, match_scenes
from facesr_edge.zoo.catalogue import DEFAULT_SCORE

SHARED = Path(__file__).parents[3].parent / "shared" / "detect"
needs_scenes = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the labelled pictures")
FACE = np.array([[180, 62, 271, 177]], np.float32)
"""The astronaut's."""


@pytest.fixture(scope="module")
def detect():
    detector = facesr_edge.load_detector(threads=1)
    yield detector
    detector.close()


@pytest.fixture(scope="module")
def found():
    """Every held-out picture, and all that is found there down to scores of no use."""
    detector = facesr_edge.load_detector(score=MIN_SCORE, threads=1)
    seen = [(scene, detector(scene.read())) for scene in read_scenes(SHARED, "test")]
    detector.close()
    return seen


def test_it_has_at_most_a_hundred_thousand_parameters_and_says_what_it_is_worth():
    card = facesr_edge.open_bundle(Path(facesr_edge.__file__).parent / "zoo" / "detector").card
    assert card.licence and len(card.limits) >= 3 and card.training["steps"] > 0
    (told,) = (value for value in card.quality.values() if "average_precision" in value)
    assert {"from 24 px", "12 to 24 px", "8 to 12 px", "network_ms", "false_alarms"} <= set(told)


@pytest.mark.parametrize("side", range(12, 92))
def test_the_astronaut_is_found_at_every_size_and_comes_first(detect, astronaut, side):
    factor = side / 91
    frame = cv2.resize(astronaut, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if side < 91 else astronaut
    seen = detect(frame)
    assert len(seen) and iou_matrix(seen.boxes_xyxy / factor, FACE)[0, 0] >= 0.5


@needs_scenes
def test_every_face_of_the_contact_sheets_is_found_at_the_default_score(found):
    for scene, seen in found:
        if scene.kind == "sheet":
            hits = iou_matrix(scene.faces.boxes_xyxy, seen.boxes_xyxy[seen.scores >= DEFAULT_SCORE]) >= 0.5
            assert hits.any(1).all() and len(hits) > 50


@needs_scenes
def test_at_most_one_false_alarm_in_forty_pictures_without_faces(found):
    empty = [seen for scene, seen in found if scene.kind == "scene" and not len(scene.faces)]
    alarms = sum(int((seen.scores >= DEFAULT_SCORE).sum()) for seen in empty)
    assert len(empty) > 30 and alarms <= len(empty) / 40


@needs_scenes
@pytest.mark.parametrize(("band", "recall"), [(LARGE, 0.97), (SMALL, 0.65), (TINY, 0.6)])
def test_faces_of_every_size_are_found_at_ninety_percent_precision(found, band, recall):
    assert match_scenes((seen, scene.faces) for scene, seen in found).recall(band) >= recall
