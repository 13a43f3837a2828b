"""Finding faces, with the detector that ships and with YuNet's published file."""

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.calibration.data.detection import read_scenes
from facesr_edge.calibration.data.faces import astronaut
from facesr_edge.calibration.metrics.detection import SizeRange, match_scenes
from facesr_edge.engines.errors import FacesrError, UsageError
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.pipeline.detect import merged


@pytest.fixture(scope="module")
def detect():
    return facesr_edge.load_detector(threads=2)


@pytest.fixture(scope="module")
def yunet(shared):
    """YuNet's published file, and where it lies."""
    path = shared / "models" / "yunet_n_dynamic.onnx"
    detector = facesr_edge.load_detector(path, threads=2)
    detector.path = path
    return detector


def centre(found):
    return (found.boxes_xyxy[0, :2] + found.boxes_xyxy[0, 2:]) / 2


def test_the_face_of_the_sample_picture_is_found_at_full_size(detect):
    found = detect(astronaut())
    assert len(found) >= 1
    np.testing.assert_allclose(centre(found), (224, 116), atol=14)


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


@pytest.mark.parametrize("min_face", [5, 10, 20, 33])
@pytest.mark.parametrize("size", [(1, 1), (33, 31), (31, 33), (32, 32), (1, 700), (360, 641)])
def test_frames_of_any_size_are_taken_at_any_scale(detect, size, min_face):
    found = detect(np.full((*size, 3), 127, np.uint8), min_face=min_face)
    assert found.boxes_xyxy.shape[1] == 4 and (found.scores >= detect.score).all()


def wall(width, height):
    """Two portraits on a plain wall, in the top left of the frame; for frames from 640x360."""
    frame = np.full((height, width, 3), 118, np.uint8)
    for x, y, side in ((30, 20, 256), (360, 80, 160)):
        frame[y : y + side, x : x + side] = cv2.resize(
            astronaut()[0:256, 96:352], (side, side), interpolation=cv2.INTER_AREA
        )
    return frame


def same(one, other, atol):
    """The same faces, wherever they stand in the order."""
    assert len(one) == len(other) > 0
    order = [int(np.abs(other.boxes_xyxy - box).max(1).argmin()) for box in one.boxes_xyxy]
    assert sorted(order) == list(range(len(one)))
    np.testing.assert_allclose(one.boxes_xyxy, other.boxes_xyxy[order], atol=atol)
    np.testing.assert_allclose(one.landmarks, other.landmarks[order], atol=atol)


@pytest.mark.parametrize(
    ("width", "height", "more"),
    [(640, 360, (1, 0)), (640, 360, (0, 7)), (640, 360, (33, 1)), (640, 360, (15, 31)), (1920, 1080, (15, 7))],
)
@pytest.mark.parametrize("min_face", [8, 20])
def test_a_frame_that_goes_on_at_the_right_and_below_gives_the_same_boxes(yunet, width, height, more, min_face):
    frame = wall(width, height)
    longer = cv2.copyMakeBorder(frame, 0, more[1], 0, more[0], cv2.BORDER_CONSTANT, value=(118, 118, 118))
    same(yunet(frame, min_face=min_face), yunet(longer, min_face=min_face), atol=2.5)


def test_a_grey_a_bgra_and_a_frame_in_pieces_of_memory_give_the_same_boxes(yunet):
    frame = np.ascontiguousarray(cv2.cvtColor(cv2.cvtColor(wall(640, 352), cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR))
    apart = np.zeros((352, 2 * 640, 4), np.uint8)
    apart[:, ::2, 1:] = frame
    kinds = {
        "grey": frame[:, :, 0],
        "grey of one channel": frame[:, :, :1],
        "BGRA": np.dstack((frame, np.full(frame.shape[:2], 7, np.uint8))),
        "every other column": apart[:, ::2, 1:],
        "upside down": np.ascontiguousarray(frame[::-1])[::-1],
        "columns first": np.asfortranarray(frame),
    }
    for min_face in (5, 8, 20):
        expected = yunet(frame, min_face=min_face)
        for name, kind in kinds.items():
            found = yunet(kind, min_face=min_face)
            assert (found.boxes_xyxy == expected.boxes_xyxy).all() and len(found) > 0, name


def test_frames_of_changing_sizes_do_not_disturb_each_other(yunet):
    frames = [wall(w, h) for w, h in ((640, 360), (1920, 1080), (700, 400), (641, 361))]
    first = [yunet(frame) for frame in frames]
    for frame, before in zip(frames, first, strict=True):
        assert (yunet(frame).boxes_xyxy == before.boxes_xyxy).all()


def test_a_frame_is_not_written_to(yunet):
    frame = wall(640, 352)
    before = frame.copy()
    for min_face in (5, 8, 20):
        yunet(frame, min_face=min_face)
    assert (frame == before).all()


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


def test_a_larger_smallest_face_shows_the_network_less_and_gives_the_frames_own_pixels(detect):
    coarse = facesr_edge.load_detector(min_face=20, threads=2)
    picture = astronaut()
    np.testing.assert_allclose(centre(coarse(picture)), centre(detect(picture)), atol=8)
    assert coarse.plan(1920, 1080).megapixels < detect.plan(1920, 1080).megapixels / 3


def test_the_smallest_face_of_a_call_takes_the_place_of_the_detectors(yunet):
    coarse = facesr_edge.load_detector(yunet.path, min_face=20, threads=2)
    frame = wall(640, 360)
    assert (coarse(frame, min_face=8).boxes_xyxy == yunet(frame).boxes_xyxy).all()
    assert (coarse(frame).boxes_xyxy == yunet(frame, min_face=20).boxes_xyxy).all()


def test_an_enlarged_frame_shows_faces_that_are_too_small_otherwise(yunet):
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
def test_a_face_that_fills_the_frame_is_found_once_and_so_is_a_small_one_beside_it(yunet, width, height, share):
    frame = np.full((height, width, 3), 118, np.uint8)
    side = round(share * height)
    large = cv2.resize(astronaut()[30:225, 140:335], None, fx=side / 100, fy=side / 100)[:height, :width]
    frame[: large.shape[0], : large.shape[1]] = large
    frame[-128:, -128:] = cv2.resize(astronaut()[0:256, 96:352], (128, 128), interpolation=cv2.INTER_AREA)
    found = yunet(frame)
    assert len(found) == 2
    sides = np.sort((found.boxes_xyxy[:, 2:] - found.boxes_xyxy[:, :2]).max(1))
    np.testing.assert_allclose(sides, (50, 1.15 * side), rtol=0.3)


def detections(*rows):
    boxes = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([row[4] for row in rows], np.float32), np.zeros((len(rows), 5, 2), np.float32))


def test_parts_of_a_large_face_are_dropped_and_faces_before_it_are_not_unless_it_is_the_better(detect):
    plan = detect.plan(1920, 1080)
    part, better, beside = (300, 300, 500, 500, 0.6), (300, 300, 500, 500, 0.9), (1100, 300, 1300, 500, 0.6)
    far = detections((200, 100, 1000, 900, 0.8))
    assert len(merged(detections(part), far, plan)) == 1
    assert len(merged(detections(better, beside), far, plan)) == 3


def test_a_part_in_a_face_that_the_looks_see_whole_stays(detect):
    near, far = detections((300, 300, 360, 360, 0.6)), detections((200, 200, 500, 500, 0.9))
    assert len(merged(near, far, detect.plan(1920, 1080))) == 2


def test_what_the_overview_sees_small_and_the_looks_see_too_large_does_not_count(detect):
    near, far = detections((0, 0, 700, 700, 0.9)), detections((300, 300, 360, 360, 0.6))
    assert len(merged(near, far, detect.plan(1920, 1080))) == 0


def test_the_fixed_size_of_an_engine_is_kept_to(shared):
    fixed = facesr_edge.load_detector(shared / "models" / "yunet_n_320_320.onnx", threads=2)
    found = fixed(wall(640, 360))
    assert len(found) == 2


def test_a_larger_smallest_face_loses_few_of_the_faces_that_are_large_enough(shared, yunet):
    scenes = [scene for scene in read_scenes(shared / "detect", "test") if scene.kind == "portrait"][::3]
    eager = facesr_edge.load_detector(yunet.path, score=0.3, threads=2)
    for min_face in (10, 20, 40):
        judgement = match_scenes((eager(scene.read(), min_face=min_face), scene.faces) for scene in scenes)
        assert judgement.recall(SizeRange(max(24, min_face), np.inf)) > 0.9


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


@pytest.mark.parametrize("min_face", [0, -1, float("nan"), float("inf")])
def test_a_smallest_face_that_cannot_be_is_refused_in_a_call_too(detect, min_face):
    with pytest.raises(UsageError, match="expected pixels, 1 or more"):
        detect(np.zeros((32, 32, 3), np.uint8), min_face=min_face)


def test_a_file_that_is_no_detector_is_refused(tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a graph")
    for path in (broken, tmp_path / "missing.onnx"):
        with pytest.raises(FacesrError, match=path.name):
            facesr_edge.load_detector(path)
