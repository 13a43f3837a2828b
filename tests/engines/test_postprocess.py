"""From maps to boxes."""

import numpy as np
import pytest
from facesr_edge.engines.bundle.io_spec import IOSpec
from facesr_edge.engines.postprocess import (
    GREY,
    MAX_CANDIDATES,
    NMS_IOU,
    STRIDES,
    Detections,
    decode,
    join,
    no_detections,
    padded,
    suppress,
)

HEIGHT, WIDTH = 64, 96


def cell(stride, row, column):
    before = sum((HEIGHT // s) * (WIDTH // s) for s in STRIDES if s < stride)
    return before + row * (WIDTH // stride) + column


@pytest.mark.parametrize(("stride", "row", "column"), [(8, 0, 0), (8, 7, 11), (16, 3, 5), (32, 1, 2)])
def test_a_cell_decodes_to_its_place(stride, row, column):
    maps = np.zeros((8 * 12 + 4 * 6 + 2 * 3, 15), np.float32)
    maps[cell(stride, row, column)] = [0.9, 0.5, 0.25, np.log(2), np.log(3), *[0.1, 0.2] * 5]
    found = decode(maps, HEIGHT, WIDTH, 0.5)
    x, y = (column + 0.5) * stride, (row + 0.25) * stride
    np.testing.assert_allclose(
        found.boxes_xyxy, [[x - stride, y - 1.5 * stride, x + stride, y + 1.5 * stride]], rtol=1e-5
    )
    np.testing.assert_allclose(found.landmarks[0, 4], [(column + 0.1) * stride, (row + 0.2) * stride], rtol=1e-5)


def test_scores_below_the_threshold_are_dropped_and_wild_sizes_stay_finite():
    maps = np.zeros((126, 15), np.float32)
    maps[3, 0], maps[4, 0], maps[4, 3] = 0.49, 0.5, 1e4
    found = decode(maps, HEIGHT, WIDTH, 0.5)
    assert len(found) == 1 and np.isfinite(found.boxes_xyxy).all()


def detections(*rows):
    boxes = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([row[4] for row in rows], np.float32), np.zeros((len(rows), 5, 2), np.float32))


def test_of_overlapping_boxes_the_best_stays_and_the_best_comes_first():
    left = suppress(detections((0, 0, 10, 10, 0.6), (1, 0, 11, 10, 0.9), (50, 50, 60, 60, 0.95)), 0.4)
    assert left.scores.tolist() == pytest.approx([0.95, 0.9])


def test_neighbours_that_hardly_overlap_both_stay():
    assert len(suppress(detections((0, 0, 10, 10, 0.6), (8, 0, 18, 10, 0.9)), 0.4)) == 2


def test_nothing_stays_nothing():
    assert len(suppress(no_detections(), 0.4)) == 0 == len(join([]))


def test_detections_of_uneven_lengths_are_refused():
    with pytest.raises(ValueError, match="expected boxes"):
        Detections(np.zeros((2, 4), np.float32), np.zeros(3, np.float32), np.zeros((2, 5, 2), np.float32))


def test_of_very_many_candidates_the_best_are_looked_at():
    places = np.random.default_rng(0).uniform(0, 1e5, (3 * MAX_CANDIDATES, 2)).astype(np.float32)
    scores = np.random.default_rng(1).permutation(np.linspace(0.01, 1, len(places))).astype(np.float32)
    every = Detections(np.hstack((places, places + 4)), scores, np.zeros((len(places), 5, 2), np.float32))
    left = suppress(every, NMS_IOU)
    assert MAX_CANDIDATES * 0.99 < len(left) <= MAX_CANDIDATES
    assert left.scores[0] == scores.max() and left.scores.min() >= np.sort(scores)[-MAX_CANDIDATES]


def test_equal_scores_keep_their_order_whatever_their_number():
    boxes = [(20 * i, 0, 20 * i + 10, 10, 0.5) for i in range(MAX_CANDIDATES + 10)]
    left = suppress(detections(*boxes), NMS_IOU)
    assert left.boxes_xyxy[:, 0].tolist() == [20.0 * i for i in range(MAX_CANDIDATES)]


@pytest.mark.parametrize(("size", "expected"), [((1, 1), (32, 32)), ((32, 33), (32, 64)), ((31, 64), (32, 64))])
def test_a_picture_is_padded_below_and_at_the_right_in_a_buffer_that_is_used_again(size, expected):
    io_spec = IOSpec("face-detection", multiple=32)
    first = padded(np.full((*size, 3), 7, np.uint8), io_spec)
    assert first.shape == (*expected, 3) and (first[: size[0], : size[1]] == 7).all()
    assert (first[size[0] :] == GREY).all() and (first[:, size[1] :] == GREY).all()
    assert padded(np.full((*size, 3), 9, np.uint8), io_spec, first) is first and first[0, 0, 0] == 9


def test_a_picture_that_fits_is_not_copied():
    picture = np.zeros((64, 96, 3), np.uint8)
    assert padded(picture, IOSpec("face-detection", multiple=32)) is picture
