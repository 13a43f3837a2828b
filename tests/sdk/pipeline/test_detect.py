"""Face detection, with the shipped detector and with YuNet's published file."""

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.calibration.data.detection import read_scenes
from facesr_edge.calibration.data.faces import astronaut
from facesr_edge.calibration.metrics.detection import SizeRange, match_scenes
from facesr_edge.engines.errors import FacesrError, InputError, UsageError
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.pipeline.detect import merge_overview


@pytest.fixture(scope="module")
def detector():
    return facesr_edge.load_detector(threads=2)


@pytest.fixture(scope="module")
def yunet_file(shared):
    return shared / "models" / "yunet_n_dynamic.onnx"


@pytest.fixture(scope="module")
def yunet(yunet_file):
    return facesr_edge.load_detector(yunet_file, threads=2)


def best_center(detections):
    return (detections.boxes_xyxy[0, :2] + detections.boxes_xyxy[0, 2:]) / 2


def test_the_face_of_the_sample_image_is_detected_at_full_size(detector):
    detections = detector(astronaut())
    assert len(detections) >= 1
    np.testing.assert_allclose(best_center(detections), (224, 116), atol=14)


@pytest.mark.parametrize("side", [24, 32, 48, 64, 96])
def test_faces_from_24_px_are_detected_at_their_position(detector, side):
    image = cv2.resize(astronaut(), None, fx=side / 100, fy=side / 100, interpolation=cv2.INTER_AREA)
    detections = detector(image)
    assert len(detections) >= 1
    np.testing.assert_allclose(best_center(detections) * 100 / side, (224, 116), atol=14)


def test_landmarks_lie_in_the_box_with_the_eyes_above_the_mouth(detector):
    detections = detector(cv2.resize(astronaut(), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    points, box = detections.landmarks[0], detections.boxes_xyxy[0]
    assert (points >= box[:2]).all() and (points <= box[2:]).all()
    assert points[:2, 1].max() < points[2, 1] < points[3:, 1].min()
    assert points[0, 0] < points[1, 0] and points[3, 0] < points[4, 0]


@pytest.mark.parametrize("min_face", [5, 10, 20, 33])
@pytest.mark.parametrize("size", [(1, 1), (33, 31), (31, 33), (32, 32), (1, 700), (360, 641)])
def test_frames_of_any_size_are_accepted_at_any_scale(detector, size, min_face):
    detections = detector(np.full((*size, 3), 127, np.uint8), min_face=min_face)
    assert detections.boxes_xyxy.shape[1] == 4 and (detections.scores >= detector.score).all()


def two_portraits(width, height):
    """Two portraits on grey, at the top left of the frame; for frames from 640x360."""
    frame = np.full((height, width, 3), 118, np.uint8)
    for x, y, side in ((30, 20, 256), (360, 80, 160)):
        frame[y : y + side, x : x + side] = cv2.resize(
            astronaut()[0:256, 96:352], (side, side), interpolation=cv2.INTER_AREA
        )
    return frame


def assert_same_faces(a, b, atol):
    """The same faces in any order."""
    assert len(a) == len(b) > 0
    order = [int(np.abs(b.boxes_xyxy - box).max(1).argmin()) for box in a.boxes_xyxy]
    assert sorted(order) == list(range(len(a)))
    np.testing.assert_allclose(a.boxes_xyxy, b.boxes_xyxy[order], atol=atol)
    np.testing.assert_allclose(a.landmarks, b.landmarks[order], atol=atol)


@pytest.mark.parametrize(
    ("width", "height", "border"),
    [(640, 360, (1, 0)), (640, 360, (0, 7)), (640, 360, (33, 1)), (640, 360, (15, 31)), (1920, 1080, (15, 7))],
)
@pytest.mark.parametrize("min_face", [8, 20])
def test_a_border_on_the_right_and_at_the_bottom_does_not_move_the_boxes(yunet, width, height, border, min_face):
    frame = two_portraits(width, height)
    larger = cv2.copyMakeBorder(frame, 0, border[1], 0, border[0], cv2.BORDER_CONSTANT, value=(118, 118, 118))
    assert_same_faces(yunet(frame, min_face=min_face), yunet(larger, min_face=min_face), atol=2.5)


def test_grey_bgra_and_non_contiguous_frames_give_the_same_boxes(yunet):
    grey = cv2.cvtColor(two_portraits(640, 352), cv2.COLOR_BGR2GRAY)
    frame = np.ascontiguousarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    strided = np.zeros((352, 2 * 640, 4), np.uint8)
    strided[:, ::2, 1:] = frame
    layouts = {
        "grey": frame[:, :, 0],
        "grey of one channel": frame[:, :, :1],
        "BGRA": np.dstack((frame, np.full(frame.shape[:2], 7, np.uint8))),
        "every second column": strided[:, ::2, 1:],
        "negative row stride": np.ascontiguousarray(frame[::-1])[::-1],
        "Fortran order": np.asfortranarray(frame),
    }
    for min_face in (5, 8, 20):
        expected = yunet(frame, min_face=min_face)
        for name, layout in layouts.items():
            detections = yunet(layout, min_face=min_face)
            assert (detections.boxes_xyxy == expected.boxes_xyxy).all() and len(detections) > 0, name


def test_a_frame_of_another_dtype_is_rejected(detector):
    with pytest.raises(InputError, match="expected uint8"):
        detector(np.zeros((32, 32, 3), np.float32))


def test_frames_of_changing_sizes_do_not_affect_each_other(yunet):
    frames = [two_portraits(w, h) for w, h in ((640, 360), (1920, 1080), (700, 400), (641, 361))]
    expected = [yunet(frame) for frame in frames]
    for frame, detections in zip(frames, expected, strict=True):
        assert (yunet(frame).boxes_xyxy == detections.boxes_xyxy).all()


def test_the_input_frame_is_not_modified(yunet):
    frame = two_portraits(640, 352)
    before = frame.copy()
    for min_face in (5, 8, 20):
        yunet(frame, min_face=min_face)
    assert (frame == before).all()


def test_a_face_between_the_tiles_of_a_4k_frame_is_detected_once(detector):
    frame = np.full((2160, 3840, 3), 118, np.uint8)
    face = cv2.resize(astronaut()[0:256, 96:352], (128, 128), interpolation=cv2.INTER_AREA)
    positions = [(1800, 1010), (100, 100), (3600, 2000)]
    for x, y in positions:
        frame[y : y + 128, x : x + 128] = face
    detections = detector(frame)
    assert len(detections) == 3
    centers = (detections.boxes_xyxy[:, :2] + detections.boxes_xyxy[:, 2:]) / 2
    for x, y in positions:
        assert np.abs(centers - (x + 64, y + 58)).max(1).min() < 12


def test_a_larger_min_face_costs_less_and_returns_boxes_in_frame_pixels(detector):
    coarse = facesr_edge.load_detector(min_face=20, threads=2)
    image = astronaut()
    np.testing.assert_allclose(best_center(coarse(image)), best_center(detector(image)), atol=8)
    assert coarse.plan(1920, 1080).megapixels < detector.plan(1920, 1080).megapixels / 3


def test_min_face_of_a_call_overrides_that_of_the_detector(yunet, yunet_file):
    coarse = facesr_edge.load_detector(yunet_file, min_face=20, threads=2)
    frame = two_portraits(640, 360)
    assert (coarse(frame, min_face=8).boxes_xyxy == yunet(frame).boxes_xyxy).all()
    assert (coarse(frame).boxes_xyxy == yunet(frame, min_face=20).boxes_xyxy).all()


def test_enlarging_the_frame_detects_smaller_faces(yunet):
    frame = np.full((360, 640, 3), 118, np.uint8)
    for row in range(4):
        for column in range(8):
            x, y = 20 + 75 * column, 20 + 80 * row
            small = cv2.resize(astronaut()[0:256, 96:352], (18, 18), interpolation=cv2.INTER_AREA)  # faces of 6 px
            frame[y : y + 18, x : x + 18] = small
    assert len(yunet(frame, min_face=4)) > len(yunet(frame, min_face=8))


@pytest.mark.parametrize(
    ("width", "height", "share"), [(1920, 1080, 0.3), (1920, 1080, 0.5), (1920, 1080, 0.75), (3840, 2160, 0.45)]
)
def test_a_face_as_large_as_the_frame_and_a_small_one_are_each_detected_once(yunet, width, height, share):
    frame = np.full((height, width, 3), 118, np.uint8)
    side = round(share * height)
    large = cv2.resize(astronaut()[30:225, 140:335], None, fx=side / 100, fy=side / 100)[:height, :width]
    frame[: large.shape[0], : large.shape[1]] = large
    frame[-128:, -128:] = cv2.resize(astronaut()[0:256, 96:352], (128, 128), interpolation=cv2.INTER_AREA)
    detections = yunet(frame)
    assert len(detections) == 2
    sides = np.sort((detections.boxes_xyxy[:, 2:] - detections.boxes_xyxy[:, :2]).max(1))
    np.testing.assert_allclose(sides, (50, 1.15 * side), rtol=0.3)


def detections_from(*rows):
    """Rows of x0, y0, x1, y1, score."""
    boxes = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([row[4] for row in rows], np.float32), np.zeros((len(rows), 5, 2), np.float32))


def test_parts_of_a_large_face_are_removed_unless_their_score_is_better(detector):
    plan = detector.plan(1920, 1080)
    part, better, outside = (300, 300, 500, 500, 0.6), (300, 300, 500, 500, 0.9), (1100, 300, 1300, 500, 0.6)
    overview = detections_from((200, 100, 1000, 900, 0.8))
    assert len(merge_overview(detections_from(part), overview, plan)) == 1
    assert len(merge_overview(detections_from(better, outside), overview, plan)) == 3


def test_a_box_inside_a_face_that_the_tiles_contain_uncut_is_kept(detector):
    tiles, overview = detections_from((300, 300, 360, 360, 0.6)), detections_from((200, 200, 500, 500, 0.9))
    assert len(merge_overview(tiles, overview, detector.plan(1920, 1080))) == 2


def test_small_boxes_of_the_overview_and_too_large_ones_of_the_tiles_are_removed(detector):
    tiles, overview = detections_from((0, 0, 700, 700, 0.9)), detections_from((300, 300, 360, 360, 0.6))
    assert len(merge_overview(tiles, overview, detector.plan(1920, 1080))) == 0


def test_a_network_of_one_fixed_input_size_detects_in_larger_frames(shared):
    fixed = facesr_edge.load_detector(shared / "models" / "yunet_n_320_320.onnx", threads=2)
    assert len(fixed(two_portraits(640, 360))) == 2


def test_a_larger_min_face_keeps_90_percent_of_the_faces_above_it(shared, yunet_file):
    scenes = [scene for scene in read_scenes(shared / "detect", "test") if scene.kind == "portrait"][::3]
    sensitive = facesr_edge.load_detector(yunet_file, score=0.3, threads=2)
    for min_face in (10, 20, 40):
        matches = match_scenes((sensitive(scene.read(), min_face=min_face), scene.faces) for scene in scenes)
        assert matches.recall(SizeRange(max(24, min_face), np.inf)) > 0.9


def test_score_is_the_minimum_of_the_returned_scores():
    detections = facesr_edge.load_detector(score=0.05, threads=2)(astronaut())
    assert (detections.scores >= 0.05).all() and (np.diff(detections.scores) <= 0).all()


@pytest.mark.parametrize("name", ["yunet_n_dynamic.onnx", "yunet_n_320_320.onnx"])
def test_a_yunet_file_is_loaded_as_published(shared, name):
    detections = facesr_edge.load_detector(shared / "models" / name, score=0.6, threads=2)(astronaut())
    np.testing.assert_allclose(best_center(detections), (224, 116), atol=14)
    assert detections.scores[0] > 0.85


@pytest.mark.parametrize("options", [{"score": 1.5}, {"score": -1}, {"min_face": 0}, {"min_face": float("nan")}])
def test_options_out_of_range_are_rejected(options):
    with pytest.raises(UsageError, match="expected"):
        facesr_edge.load_detector(**options)


@pytest.mark.parametrize("min_face", [0, -1, float("nan"), float("inf")])
def test_an_invalid_min_face_of_a_call_is_rejected(detector, min_face):
    with pytest.raises(UsageError, match="expected pixels, 1 or more"):
        detector(np.zeros((32, 32, 3), np.uint8), min_face=min_face)


def test_a_broken_or_missing_file_is_rejected(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a graph")
    for path in (broken, tmp_path / "missing.onnx"):
        with pytest.raises(FacesrError, match=path.name):
            facesr_edge.load_detector(path)
