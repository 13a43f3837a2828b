"""Known faces: expected positions, matches, and faces that are not found."""

import numpy as np
import pytest
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.pipeline.known_faces import MAX_MISSED, KnownFaces, match, update

WH = (640, 360)


def detections(*rows):
    """Rows of left, top, side and score."""
    boxes = np.array([(x, y, x + s, y + s) for x, y, s, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([row[3] for row in rows], np.float32)
    return Detections(boxes, scores, np.zeros((len(rows), 5, 2), np.float32))


def sighting(*frames, elapsed=1.0):
    """After the detections of several frames."""
    known = KnownFaces.none()
    for frame in frames:
        result = update(known, frame, 0.5, elapsed, WH)
        known = result.known
    return result


@pytest.mark.parametrize("elapsed", [1.0, 0.04])
def test_faces_are_expected_at_constant_velocity(elapsed):
    known = sighting(detections((100, 50, 40, 0.9)), detections((110, 46, 40, 0.9)), elapsed=elapsed).known
    assert known.moved(elapsed).boxes_xyxy[0, :2] == pytest.approx((120, 42))
    assert known.moved(2 * elapsed).boxes_xyxy[0, :2] == pytest.approx((130, 38))


def test_the_nearest_boxes_of_similar_size_are_matched_once():
    expected = detections((0, 0, 40, 1), (50, 0, 40, 1), (300, 0, 40, 1)).boxes_xyxy
    detected = detections((45, 0, 40, 1), (5, 0, 40, 1), (300, 0, 100, 1)).boxes_xyxy
    assert sorted(match(expected, detected)) == [(0, 1), (1, 0)]
    assert match(expected, detected[:0]) == match(expected[:0], detected) == []


def test_faces_that_cross_keep_their_velocities():
    frames = [detections((100 + 12 * n, 50, 40, 0.9), (200 - 12 * n, 80, 40, 0.9)) for n in range(8)]
    known = sighting(*frames).known
    assert known.velocities[:, 0].tolist() == pytest.approx([12, -12])


def test_new_and_lost_faces_are_counted():
    start = detections((100, 50, 40, 0.9))
    assert (sighting(start).new, sighting(start).lost) == (1, 0)
    other = sighting(start, detections((300, 50, 40, 0.9)))
    assert (other.new, other.lost) == (1, 1)
    same = sighting(start, start)
    assert (same.new, same.lost) == (0, 0)


def test_candidates_are_known_but_neither_new_nor_lost():
    candidate = detections((100, 50, 40, 0.35))
    assert sighting(candidate).new == 0 and len(sighting(candidate).known.frames_missed) == 1
    assert sighting(candidate, detections()).lost == 0
    risen = sighting(candidate, detections((100, 50, 40, 0.8)))
    assert risen.new == 0 and risen.known.certain.all()
    faded = sighting(detections((100, 50, 40, 0.8)), candidate)
    assert faded.lost == 0 and not faded.known.certain.any()


def test_a_face_that_is_not_found_is_searched_for_a_while_and_slows_down():
    start = [detections((100, 50, 40, 0.9)), detections((110, 50, 40, 0.9))]
    after = sighting(*start, *[detections()] * MAX_MISSED)
    assert after.known.frames_missed.tolist() == [MAX_MISSED] and after.lost == 0
    assert 120 <= after.known.boxes_xyxy[0, 0] < 131
    assert len(sighting(*start, *[detections()] * (MAX_MISSED + 1)).known.frames_missed) == 0


def test_a_face_expected_outside_of_the_frame_is_forgotten():
    after = sighting(detections((590, 50, 40, 0.9)), detections((605, 50, 40, 0.9)), detections())
    assert after.lost == 1 and len(after.known.frames_missed) == 0


def test_a_known_face_needs_a_lower_score_than_a_new_one():
    rows = [(100, 50, 40, score) for score in (0.45, 0.55, 0.43, 0.45, 0.42, 0.45)]
    certain = [sighting(*(detections(row) for row in rows[: n + 1])).known.certain[0] for n in range(len(rows))]
    assert certain == [False, True, True, True, False, False]
    beside = sighting(detections((100, 50, 40, 0.55)), detections((300, 50, 40, 0.45))).known
    assert beside.certain.tolist() == [False, True], "another face is not known; the first one is searched"
