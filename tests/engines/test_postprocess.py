"""Decoding of detector maps, and non-maximum suppression."""

import numpy as np
import pytest
from facesr_edge.engines.postprocess import MAX_CANDIDATES, NMS_IOU, STRIDES, Detections, decode, nms

HEIGHT, WIDTH = 64, 96


def cell_index(stride, row, column):
    """Row of the maps that belongs to a cell."""
    start = sum((HEIGHT // s) * (WIDTH // s) for s in STRIDES if s < stride)
    return start + row * (WIDTH // stride) + column


@pytest.mark.parametrize(("stride", "row", "column"), [(8, 0, 0), (8, 7, 11), (16, 3, 5), (32, 1, 2)])
def test_a_cell_is_decoded_to_its_box_and_landmarks(stride, row, column):
    maps = np.zeros((8 * 12 + 4 * 6 + 2 * 3, 15), np.float32)
    maps[cell_index(stride, row, column)] = [0.9, 0.5, 0.25, np.log(2), np.log(3), *[0.1, 0.2] * 5]
    detections = decode(maps, HEIGHT, WIDTH, 0.5)
    x, y = (column + 0.5) * stride, (row + 0.25) * stride
    box = [x - stride, y - 1.5 * stride, x + stride, y + 1.5 * stride]
    np.testing.assert_allclose(detections.boxes_xyxy, [box], rtol=1e-5)
    np.testing.assert_allclose(detections.landmarks[0, 4], [(column + 0.1) * stride, (row + 0.2) * stride], rtol=1e-5)


def test_scores_below_the_threshold_are_dropped_and_extreme_sizes_stay_finite():
    maps = np.zeros((126, 15), np.float32)
    maps[3, 0], maps[4, 0], maps[4, 3] = 0.49, 0.5, 1e4
    detections = decode(maps, HEIGHT, WIDTH, 0.5)
    assert len(detections) == 1 and np.isfinite(detections.boxes_xyxy).all()


def detections_from(*rows):
    """Rows of x0, y0, x1, y1, score."""
    boxes = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([row[4] for row in rows], np.float32), np.zeros((len(rows), 5, 2), np.float32))


def test_nms_keeps_the_best_of_overlapping_boxes_and_sorts_by_score():
    kept = nms(detections_from((0, 0, 10, 10, 0.6), (1, 0, 11, 10, 0.9), (50, 50, 60, 60, 0.95)), 0.4)
    assert kept.scores.tolist() == pytest.approx([0.95, 0.9])


def test_nms_keeps_neighbors_with_a_small_overlap():
    assert len(nms(detections_from((0, 0, 10, 10, 0.6), (8, 0, 18, 10, 0.9)), 0.4)) == 2


def test_empty_detections_are_allowed():
    assert len(nms(Detections.empty(), 0.4)) == 0 == len(Detections.merge([]))


def test_merge_concatenates_in_order():
    merged = Detections.merge(
        [detections_from((0, 0, 1, 1, 0.1)), Detections.empty(), detections_from((2, 2, 3, 3, 0.9))]
    )
    assert merged.scores.tolist() == pytest.approx([0.1, 0.9]) and merged.boxes_xyxy[:, 0].tolist() == [0, 2]


def test_detections_of_different_lengths_are_rejected():
    with pytest.raises(ValueError, match="expected boxes"):
        Detections(np.zeros((2, 4), np.float32), np.zeros(3, np.float32), np.zeros((2, 5, 2), np.float32))


def test_nms_uses_the_best_of_too_many_candidates():
    corners = np.random.default_rng(0).uniform(0, 1e5, (3 * MAX_CANDIDATES, 2)).astype(np.float32)
    scores = np.random.default_rng(1).permutation(np.linspace(0.01, 1, len(corners))).astype(np.float32)
    candidates = Detections(np.hstack((corners, corners + 4)), scores, np.zeros((len(corners), 5, 2), np.float32))
    kept = nms(candidates, NMS_IOU)
    assert MAX_CANDIDATES * 0.99 < len(kept) <= MAX_CANDIDATES
    assert kept.scores[0] == scores.max() and kept.scores.min() >= np.sort(scores)[-MAX_CANDIDATES]


def test_equal_scores_keep_their_order_for_any_number_of_boxes():
    boxes = [(20 * i, 0, 20 * i + 10, 10, 0.5) for i in range(MAX_CANDIDATES + 10)]
    kept = nms(detections_from(*boxes), NMS_IOU)
    assert kept.boxes_xyxy[:, 0].tolist() == [20.0 * i for i in range(MAX_CANDIDATES)]


def test_detections_are_iterated_and_indexed_face_by_face():
    boxes, points = np.arange(12, dtype=np.float32).reshape(3, 4), np.arange(30, dtype=np.float32).reshape(3, 5, 2)
    detections = Detections(boxes, np.array([0.9, 0.5, 0.25], np.float32), points)
    assert [face.score for face in detections] == pytest.approx([0.9, 0.5, 0.25])
    assert np.array_equal(next(iter(detections)).box_xyxy, boxes[0])
    assert np.array_equal(detections[-1].landmarks, points[2]) and detections[np.int64(1)].score == 0.5
    assert len(detections[:2]) == len(detections[[0, 2]]) == len(detections[np.array([True, True, False])]) == 2
    assert list(Detections.empty()) == []
    with pytest.raises(IndexError):
        detections[3]
