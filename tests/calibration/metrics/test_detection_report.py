"""Detector metrics of a perfect detector, and of detectors whose metrics are computed by hand."""

import json

import numpy as np
import pytest
from facesr_edge.calibration.data.detection import labeled_faces
from facesr_edge.calibration.metrics.detection import LARGE, MIN_SCORE, SMALL, TINY, SizeRange
from facesr_edge.calibration.metrics.detection_report import (
    DEGRADATIONS,
    MIRRORED,
    detector_quality,
    fp_threshold,
    mirror_scene,
    predict_scenes,
)

from ..conftest import LANDMARKS, detections, face, find_white

PROFILE = ((0.45, 0.4), (0.55, 0.4), *LANDMARKS[2:])


def measured(detect, scenes, score=0.7):
    return detector_quality([predict_scenes(detect, scene) for scene in scenes], score)


def row_of(quality, group, sizes):
    """Faces, recall and average precision of a row."""
    (row,) = (row for row in quality.rows if row.group == group and row.sizes == sizes)
    return row.faces, row.recall, row.average_precision


def test_perfect_detector_has_recall_and_precision_one(scenes):
    faces = {"scene_a": [face(10, 10, 40), face(100, 60, 16), face(20, 90, 10)], "portrait_b": [face(40, 20, 80)]}
    quality = measured(find_white, scenes({**faces, "scene_c": []}))
    assert {row.group for row in quality.rows} == {"all", "portrait", "scene", MIRRORED}
    assert {(row.recall, row.average_precision) for row in quality.rows} == {(1.0, 1.0)}
    assert row_of(quality, "all", LARGE)[0] == 2 and row_of(quality, "scene", TINY)[0] == 1
    assert row_of(quality, MIRRORED, SizeRange(0, np.inf))[0] == 4  # a face of 10 px has 9 px after downscaling
    assert quality.recall_from_12 == 1 and (quality.background.images, quality.background.count) == (1, 0)
    assert quality.landmarks.mean == pytest.approx(0, abs=1e-3) and quality.landmarks.faces == 2


def test_faces_that_are_detected_in_gray_and_dark_images_are_counted(scenes):
    labelled = scenes({"scene_a": [face(10, 10, 40), face(100, 60, 16, score=0.5)], "scene_b": [], "scene_c": []})

    def detect(image):
        """White squares, also in dark images; one false positive in dark images without faces."""
        if image.max() > 30:
            return find_white(image)
        return detections((9, 9, 20, 0.8)) if image.max() < 20 else find_white(np.where(image > 20, image * 10, 0))

    gray, dark = measured(detect, labelled).robustness
    assert (gray.degradation, gray.faces, gray.detected, gray.background_false_positives) == ("grayscale", 1, 1.0, 2)
    assert (dark.degradation, dark.faces, dark.detected) == ("10 % of the light", 1, 1.0)
    only_bright = measured(find_white, labelled).robustness
    assert [(each.detected, each.background_false_positives) for each in only_bright] == [(1.0, 0), (0.0, 0)]
    assert [each.detected for each in measured(find_white, labelled[1:]).robustness] == [None, None]


def test_gray_images_have_equal_channels_and_dark_ones_a_tenth_of_the_levels():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    gray, dark = (degrade(image) for degrade in DEGRADATIONS.values())
    assert gray.shape == image.shape and (gray == gray[..., :1]).all() and gray.std() > 10
    assert np.array_equal(dark, image // 10)


def test_size_ranges_without_faces_have_no_row(scenes):
    quality = measured(find_white, scenes({"scene_a": [face(10, 10, 40)]}))
    assert {row.sizes for row in quality.rows if row.group == "scene"} == {LARGE, SizeRange(0, np.inf)}


def test_recall_and_average_precision_of_a_known_case(scenes, scripted):
    labelled = scenes({"scene_a": [face(10, 10, 30), face(60, 10, 30), face(110, 10, 30)]})
    detect = scripted(detections((10, 10, 30, 0.9), (60, 80, 30, 0.8), (60, 10, 30, 0.5)))
    quality = measured(detect, labelled)
    # true, false, true positive: recall 1/3, 1/3, 2/3 at precision 1, 1/2, 2/3
    assert row_of(quality, "all", LARGE) == (3, pytest.approx(1 / 3), pytest.approx(1 / 3 + 1 / 3 * 2 / 3))
    assert quality.recall_from_12 == pytest.approx(1 / 3) and quality.false_positives == 1


def test_uncertain_faces_are_ignored(scenes, scripted):
    labelled = scenes({"scene_a": [face(10, 10, 30), face(60, 10, 30, score=0.5)]})
    for squares in ([(10, 10, 30, 0.9)], [(10, 10, 30, 0.8), (60, 10, 30, 0.9)]):
        assert row_of(measured(scripted(detections(*squares)), labelled), "all", LARGE) == (1, 1, 1)


def test_duplicates_and_partial_overlaps_are_ignored(scenes, scripted):
    labelled = scenes({"scene_a": [face(10, 10, 30), face(60, 10, 30)]})
    # a second detection of the first face, and one with IoU 0.4 with the second face
    detect = scripted(detections((10, 10, 30, 0.9), (11, 10, 30, 0.8), (73, 10, 30, 0.7)))
    assert row_of(measured(detect, labelled), "all", LARGE) == (2, 0.5, 0.5)


def test_background_false_positives_are_counted_in_images_without_labels(scenes, scripted):
    labelled = scenes({"scene_a": [], "scene_b": [], "scene_c": [face(10, 10, 30, score=0.4)]})
    result = detections((60, 60, 20, 0.875), (20, 60, 20, 0.75), (90, 60, 20, 0.5))
    quality = measured(scripted(result, detections(), result), labelled, score=0.75)
    assert (quality.background.images, quality.background.count, quality.background.per_image) == (2, 2, 1.0)
    assert quality.background.fp_threshold == 0.876
    assert quality.recall_from_12 is None and quality.rows == ()


@pytest.mark.parametrize(
    ("scores", "images", "expected"),
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
def test_fp_threshold_allows_one_false_positive_in_forty_images(scores, images, expected):
    assert fp_threshold(scores, images) == expected


def test_profile_faces_change_only_the_mean_landmark_error(scenes, scripted):
    labelled = scenes({"scene_a": [face(10, 10, 40), face(60, 10, 40), face(110, 10, 40, landmarks=PROFILE)]})
    detect = scripted(detections((10, 10, 40, 0.9), (60, 14, 40, 0.9), (110, 10, 40, 0.9)))
    landmarks = measured(detect, labelled).landmarks
    # eye distance 16 px: errors of 0 and 4 px; profile: eye distance 4 px, error of each eye 6 px
    assert landmarks.mean == pytest.approx((0 + 4 / 16 + 2 * 6 / 5 / 4) / 3, rel=1e-4)
    assert landmarks.median == pytest.approx(4 / 16, rel=1e-4)
    assert (landmarks.faces, landmarks.frontal_faces) == (3, 2)
    assert landmarks.frontal_mean == pytest.approx(2 / 16, rel=1e-4)


def test_labels_without_landmarks_have_no_landmark_error(scenes):
    landmarks = measured(find_white, scenes({"scene_a": [{"box": [10, 10, 40, 40]}]})).landmarks
    assert (landmarks.faces, landmarks.mean, landmarks.median, landmarks.frontal_mean) == (0, None, None, None)


def test_mirrored_labels_match_the_mirrored_image():
    entries = [face(10, 10, 40), face(121, 71, 30)]
    image = np.zeros((121, 163, 3), np.uint8)
    for entry in entries:
        x, y, width, height = entry["box"]
        image[y : y + height, x : x + width] = 250
        (left, eye_y), (nose_x, nose_y) = np.array(entry["landmarks"], int).reshape(5, 2)[[0, 2]]
        image[eye_y : eye_y + 2, left : left + 2, 0] = 0
        image[nose_y : nose_y + 2, nose_x : nose_x + 2, 1] = 0
    mirrored, faces = mirror_scene(image, labeled_faces(entries))
    assert mirrored.shape == (109, 147, 3)
    result = find_white(np.repeat(mirrored.max(2, keepdims=True), 3, axis=2))
    order = np.argsort(-result.boxes_xyxy[:, 0])
    np.testing.assert_allclose(result.boxes_xyxy[order], faces.boxes_xyxy, atol=1.01)
    for points in faces.landmarks.reshape(-1, 5, 2):
        assert points[0, 0] < points[1, 0] and points[3, 0] < points[4, 0]
        right_eye, nose = (mirrored[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] for x, y in points[1:3])
        assert right_eye[..., 0].min() < 120 and right_eye[..., 1].min() > 200  # the marked eye was the left one
        assert nose[..., 1].min() < 120 and nose[..., 0].min() > 200


def test_mirroring_twice_is_the_identity():
    before = labeled_faces([face(10, 20, 40, landmarks=PROFILE), {"box": [0, 0, 9, 9]}])
    after = before.mirrored(100).mirrored(100)
    np.testing.assert_allclose(after.boxes_xyxy, before.boxes_xyxy)
    np.testing.assert_allclose(after.landmarks, before.landmarks, atol=1e-4)


def test_quality_is_json_serializable(scenes):
    quality = measured(find_white, scenes({"scene_a": [face(10, 10, 40)], "scene_b": [face(10, 10, 20)]}))
    document = json.loads(json.dumps(quality.to_dict(), allow_nan=False))
    small = {"group": "all", "from_px": 12, "to_px": 24, "faces": 1, "recall": 1.0, "average_precision": 1.0}
    assert small in document["rows"] and document["false_positives"] == 0
    assert document["background"] == {"images": 0, "count": 0, "fp_threshold": None, "per_image": 0.0}


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        (LARGE, "24 px or more"),
        (SMALL, "12 to 24 px"),
        (SizeRange(0, np.inf), "all sizes"),
        (SizeRange(0, 8), "below 8 px"),
    ],
)
def test_size_range_is_half_open_and_has_a_text(sizes, text):
    assert str(sizes) == text
    assert sizes.contains(sizes.low) and not sizes.contains(sizes.high)
