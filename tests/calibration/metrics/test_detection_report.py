"""Quality of detectors that are known: one that is always right, and ones whose figures can be worked out by hand."""

import json

import numpy as np
import pytest
from facesr_edge.calibration.data.detection import labelled_faces
from facesr_edge.calibration.metrics.detection import LARGE, MIN_SCORE, SMALL, TINY, SizeRange
from facesr_edge.calibration.metrics.detection_report import (
    MIRRORED,
    detector_quality,
    fp_threshold,
    predict_mirrored,
    predict_scenes,
)

from ..conftest import MARKS, detections, face, find_white

PROFILE = ((0.45, 0.4), (0.55, 0.4), *MARKS[2:])


def measured(detect, scenes, score=0.7):
    return detector_quality([predict_scenes(detect, scene) for scene in scenes], score)


def figures(result, group, band):
    (row,) = (row for row in result.rows if row.group == group and row.band == band)
    return row.faces, row.recall, row.average_precision


def test_a_perfect_detector_gets_one_everywhere(scenes):
    faces = {"scene_a": [face(10, 10, 40), face(100, 60, 16), face(20, 90, 10)], "portrait_b": [face(40, 20, 80)]}
    result = measured(find_white, scenes({**faces, "scene_c": []}))
    assert {row.group for row in result.rows} == {"all", "portrait", "scene", MIRRORED}
    assert {(row.recall, row.average_precision) for row in result.rows} == {(1.0, 1.0)}
    assert figures(result, "all", LARGE)[0] == 2 and figures(result, "scene", TINY)[0] == 1
    assert figures(result, MIRRORED, SizeRange(0, np.inf))[0] == 4  # a face of 10 px has 9 there, and counts as such
    assert result.recall_from_12 == 1 and (result.alarms.pictures, result.alarms.count) == (1, 0)
    assert result.landmarks.mean == pytest.approx(0, abs=1e-3) and result.landmarks.faces == 2


def test_bands_without_faces_have_no_row(scenes):
    result = measured(find_white, scenes({"scene_a": [face(10, 10, 40)]}))
    assert {row.band for row in result.rows if row.group == "scene"} == {LARGE, SizeRange(0, np.inf)}


def test_misses_and_false_alarms_count_as_worked_out_by_hand(scenes, scripted):
    squares = scenes({"scene_a": [face(10, 10, 30), face(60, 10, 30), face(110, 10, 30)]})
    detect = scripted(detections((10, 10, 30, 0.9), (60, 80, 30, 0.8), (60, 10, 30, 0.5)))
    result = measured(detect, squares)
    # hit, false alarm, hit: recall 1/3, 1/3, 2/3 at precision 1, 1/2, 2/3
    assert figures(result, "all", LARGE) == (3, pytest.approx(1 / 3), pytest.approx(1 / 3 + 1 / 3 * 2 / 3))
    assert result.recall_from_12 == pytest.approx(1 / 3) and result.false_alarms == 1


def test_uncertain_faces_count_neither_way(scenes, scripted):
    squares = scenes({"scene_a": [face(10, 10, 30), face(60, 10, 30, score=0.5)]})
    for found in ([(10, 10, 30, 0.9)], [(10, 10, 30, 0.8), (60, 10, 30, 0.9)]):
        assert figures(measured(scripted(detections(*found)), squares), "all", LARGE) == (1, 1, 1)


def test_a_second_detection_of_a_face_is_no_false_alarm_and_a_half_hit_neither(scenes, scripted):
    squares = scenes({"scene_a": [face(10, 10, 30), face(60, 10, 30)]})
    detect = scripted(detections((10, 10, 30, 0.9), (11, 10, 30, 0.8), (73, 10, 30, 0.7)))  # IoU 0.4 with the other
    assert figures(measured(detect, squares), "all", LARGE) == (2, 0.5, 0.5)


def test_false_alarms_are_counted_where_there_is_no_label_at_all(scenes, scripted):
    squares = scenes({"scene_a": [], "scene_b": [], "scene_c": [face(10, 10, 30, score=0.4)]})
    one = detections((60, 60, 20, 0.875), (20, 60, 20, 0.75), (90, 60, 20, 0.5))
    result = measured(scripted(one, detections(), one), squares, score=0.75)
    assert (result.alarms.pictures, result.alarms.count, result.alarms.a_picture) == (2, 2, 1.0)
    assert result.alarms.quiet_score == 0.876
    assert result.recall_from_12 is None and result.rows == ()


@pytest.mark.parametrize(
    ("scores", "pictures", "expected"),
    [
        ([0.8, 0.6], 39, 0.801),
        ([0.8, 0.6], 40, 0.601),
        ([0.6, 0.8], 79, 0.601),
        ([0.8, 0.6], 80, MIN_SCORE),
        ([], 3, MIN_SCORE),
        ([], 0, None),
        ([1.0], 1, None),
    ],
)
def test_quiet_is_one_alarm_in_forty_pictures(scores, pictures, expected):
    assert fp_threshold(scores, pictures) == expected


def test_a_profile_spoils_the_mean_of_landmarks_and_nothing_else(scenes, scripted):
    squares = scenes({"scene_a": [face(10, 10, 40), face(60, 10, 40), face(110, 10, 40, marks=PROFILE)]})
    detect = scripted(detections((10, 10, 40, 0.9), (60, 14, 40, 0.9), (110, 10, 40, 0.9)))
    found = measured(detect, squares).landmarks
    # eyes 16 px apart: errors of 0 and 4 px; in the profile 4 px apart, and each eye 6 px beside
    assert found.mean == pytest.approx((0 + 4 / 16 + 2 * 6 / 5 / 4) / 3, rel=1e-4)
    assert found.median == pytest.approx(4 / 16, rel=1e-4)
    assert (found.faces, found.frontal_faces) == (3, 2)
    assert found.frontal_mean == pytest.approx(2 / 16, rel=1e-4)


def test_labels_without_landmarks_have_no_error(scenes):
    entry = {"box": [10, 10, 40, 40]}
    found = measured(find_white, scenes({"scene_a": [entry]})).landmarks
    assert (found.faces, found.mean, found.median, found.frontal_mean) == (0, None, None, None)


def test_mirrored_labels_lie_on_mirrored_faces():
    entries = [face(10, 10, 40), face(121, 71, 30)]
    picture = np.zeros((121, 163, 3), np.uint8)
    for entry in entries:
        x, y, width, height = entry["box"]
        picture[y : y + height, x : x + width] = 250
        (left, eye_y), (nose_x, nose_y) = np.array(entry["landmarks"], int).reshape(5, 2)[[0, 2]]
        picture[eye_y : eye_y + 2, left : left + 2, 0] = 0
        picture[nose_y : nose_y + 2, nose_x : nose_x + 2, 1] = 0
    mirror, faces = predict_mirrored(picture, labelled_faces(entries))
    assert mirror.shape == (109, 147, 3)
    found = find_white(np.repeat(mirror.max(2, keepdims=True), 3, axis=2))
    order = np.argsort(-found.boxes_xyxy[:, 0])
    np.testing.assert_allclose(found.boxes_xyxy[order], faces.boxes_xyxy, atol=1.01)
    for points in faces.landmarks.reshape(-1, 5, 2):
        assert points[0, 0] < points[1, 0] and points[3, 0] < points[4, 0]
        right_eye, nose = (mirror[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] for x, y in points[1:3])
        assert right_eye[..., 0].min() < 120 and right_eye[..., 1].min() > 200  # the marked eye was the left one
        assert nose[..., 1].min() < 120 and nose[..., 0].min() > 200


def test_mirroring_twice_changes_nothing():
    before = labelled_faces([face(10, 20, 40, marks=PROFILE), {"box": [0, 0, 9, 9]}])
    after = before.mirrored(100).mirrored(100)
    np.testing.assert_allclose(after.boxes_xyxy, before.boxes_xyxy)
    np.testing.assert_allclose(after.landmarks, before.landmarks, atol=1e-4)


def test_figures_are_ready_for_json(scenes):
    result = measured(find_white, scenes({"scene_a": [face(10, 10, 40)], "scene_b": [face(10, 10, 20)]}))
    document = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    small = {"group": "all", "from_px": 12, "to_px": 24, "faces": 1, "recall": 1.0, "average_precision": 1.0}
    assert small in document["rows"]
    assert document["false_alarms"] == {"pictures": 0, "count": 0, "quiet_score": None, "a_picture": 0.0}


@pytest.mark.parametrize(
    ("band", "words"),
    [
        (LARGE, "24 px or more"),
        (SMALL, "12 to 24 px"),
        (SizeRange(0, np.inf), "all sizes"),
        (SizeRange(0, 8), "below 8 px"),
    ],
)
def test_a_band_says_what_it_holds(band, words):
    assert str(band) == words
    assert band.holds(band.low) and not band.holds(band.high)
