"""The benchmark of trackers: its clips and its counts."""

import numpy as np
import pytest
from facesr_edge.benchmarks.trackers import FACES, FPS, SECONDS, WH, Moment, Score, draw, kept, own, paths, portrait
from facesr_edge.engines.postprocess import Detections

BOX = np.array([[100, 100, 130, 130]], np.float32)


def moment(index, boxes=BOX):
    landmarks = np.repeat(boxes[:, None, :2], 5, axis=1)
    detections = Detections(boxes, np.full(len(boxes), 0.9, np.float32), landmarks)
    return Moment(index / 10, detections, BOX, np.array([True]))


def counted(ids, found=None):
    """The score of one face whose track has these ids; 0 for no track."""
    score, given = Score(), iter(ids)

    def step(detections, time_s):
        number = next(given)
        return (BOX if found is None else found, np.array([number])) if number else (np.zeros((0, 4)), np.zeros(0))

    score.add(0, [moment(index) for index in range(len(ids))], step)
    return score


@pytest.mark.parametrize(
    ("ids", "switches", "fragments", "tracks"),
    [
        ([1] * 5, 0, 0, 1),
        ([1, 1, 2, 2, 1], 2, 0, 2),
        ([1, 0, 0, 1], 0, 1, 1),
        ([0, 0, 3], 0, 0, 1),
        ([1, 0, 2], 1, 1, 2),
    ],
)
def test_switches_and_fragments_are_counted(ids, switches, fragments, tracks):
    score = counted(ids)
    assert (score.switches, score.fragments, len(score.ids)) == (switches, fragments, tracks)
    assert (score.tracked, score.visible, score.false) == (sum(map(bool, ids)), len(ids), 0)


def test_boxes_elsewhere_are_false():
    score = counted([1, 1], BOX + 200)
    assert (score.tracked, score.false) == (0, 2)


def test_the_own_tracker_follows_a_face_without_a_switch():
    score = Score()
    score.add(0, [moment(index) for index in range(10)], own(10))
    assert (score.switches, score.tracked, len(score.ids)) == (0, 10, 1)


def test_faces_stay_in_the_frame_and_move():
    sides = np.linspace(16, 44, FACES)
    centers = paths(np.random.default_rng(3), FACES, sides)
    assert centers.shape == (round(SECONDS * FPS), FACES, 2)
    assert (centers >= 40).all() and (centers <= np.array(WH) - 40).all()
    speeds = np.linalg.norm(np.diff(centers, axis=0), axis=2).mean(0) * FPS / sides
    assert (speeds > 0.2).all() and speeds.max() > 2


def test_a_drawn_face_is_where_its_box_is_and_a_hidden_one_is_not_visible(astronaut):
    face = portrait(astronaut, np.array([180, 62, 271, 177], np.float32), 30)
    scene = np.zeros((WH[1], WH[0], 3), np.uint8)
    frame, boxes, visible = draw(scene, [face], np.array([(200.0, 100.0)]))
    assert np.abs((boxes[0, :2] + boxes[0, 2:]) / 2 - (200, 100)).max() < 1 and visible.tolist() == [True]
    rows, columns = np.nonzero(frame.any(-1))
    assert abs(columns.mean() - 200) < 3 and abs(rows.mean() - 100) < 4
    _, _, visible = draw(scene, [face, face], np.array([(200.0, 100.0), (203.0, 100.0)]))
    assert visible.tolist() == [False, True]


@pytest.mark.parametrize("fps", [10, 25])
def test_dropped_frames_are_a_fifth_and_bursts(fps):
    every, some = (kept(np.random.default_rng(1), fps, drops) for drops in (False, True))
    assert len(every) == SECONDS * fps and set(some) < set(every)
    assert 0.6 < len(some) / len(every) < 0.85
    assert max(np.diff(some)) >= 0.28 * FPS
