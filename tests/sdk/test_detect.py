"""Finding faces, with the detector that ships and with YuNet's published file."""

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.calibration.sample import astronaut
from facesr_edge.engines.errors import FacesrError, UsageError


@pytest.fixture(scope="module")
def detect():
    return facesr_edge.load_detector(threads=2)


def centre(found):
    return (found.boxes_xyxy[0, :2] + found.boxes_xyxy[0, 2:]) / 2


@pytest.mark.parametrize("side", [24, 32, 48, 64, 96])
def test_faces_of_24_px_and_more_are_found_at_their_place(detect, side):
    picture = cv2.resize(astronaut(), None, fx=side / 100, fy=side / 100, interpolation=cv2.INTER_AREA)
    found = detect(picture)
    assert len(found) >= 1
    np.testing.assert_allclose(centre(found) * 100 / side, (224, 116), atol=14)


def test_landmarks_lie_in_the_box_eyes_above_the_mouth(detect):
    found = detect(cv2.resize(astronaut(), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    points, box = found.landmarks[0], found.boxes_xyxy[0]
    assert (points >= box[:2]).all() and (points <= box[2:]).all()
    assert points[:2, 1].max() < points[2, 1] < points[3:, 1].min()
    assert points[0, 0] < points[1, 0] and points[3, 0] < points[4, 0]


@pytest.mark.parametrize("size", [(1, 1), (33, 65), (32, 32), (360, 641)])
def test_frames_of_any_size_are_taken(detect, size):
    assert detect(np.full((*size, 3), 127, np.uint8)).boxes_xyxy.shape[1] == 4


def test_a_4k_frame_is_seen_in_tiles_and_a_face_on_their_border_is_found_once(detect):
    frame = np.full((2160, 3840, 3), 118, np.uint8)
    face = cv2.resize(astronaut()[0:256, 96:352], (128, 128), interpolation=cv2.INTER_AREA)
    places = [(1800, 1010), (100, 100), (3600, 2000)]
    for x, y in places:
        frame[y : y + 128, x : x + 128] = face
    found = detect(frame)
    assert len(found) == 3
    centres = (found.boxes_xyxy[:, :2] + found.boxes_xyxy[:, 2:]) / 2
    for x, y in places:
        assert np.abs(centres - (x + 64, y + 58)).max(1).min() < 12


def test_a_larger_smallest_face_is_quicker_and_gives_the_frames_own_pixels(detect):
    coarse = facesr_edge.load_detector(min_face=20, threads=2)
    picture = astronaut()
    np.testing.assert_allclose(centre(coarse(picture)), centre(detect(picture)), atol=8)


def test_the_score_is_the_least_that_is_returned():
    found = facesr_edge.load_detector(score=0.05, threads=2)(astronaut())
    assert (found.scores >= 0.05).all() and (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("name", ["yunet_n_dynamic.onnx", "yunet_n_320_320.onnx"])
def test_a_yunet_file_is_taken_as_it_is(shared, name):
    found = facesr_edge.load_detector(shared / "models" / name, score=0.6, threads=2)(astronaut())
    np.testing.assert_allclose(centre(found), (224, 116), atol=14)
    assert found.scores[0] > 0.85


@pytest.mark.parametrize("options", [{"score": 1.5}, {"score": -1}, {"min_face": 0}, {"min_face": float("nan")}])
def test_values_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match="expected"):
        facesr_edge.load_detector(**options)


def test_a_file_that_is_no_detector_is_refused(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a graph")
    for path in (broken, tmp_path / "missing.onnx"):
        with pytest.raises(FacesrError, match=path.name):
            facesr_edge.load_detector(path)
