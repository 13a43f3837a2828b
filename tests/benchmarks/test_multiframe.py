"""Held-out sequences and planted faults: still faces are still, true motions are used, faults change what they name."""

import numpy as np
import pytest
from facesr_edge.benchmarks.multiframe.faults import FAULTS, Track
from facesr_edge.benchmarks.multiframe.sequences import FRAMES, STILL, affine, last, record, registered, with_motions
from facesr_edge.benchmarks.multiframe_footage import interval
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.training.data.cameras.background import Backgrounds

SIDE = 32
CHANGED = {
    "none": set(),
    "cut, 1 crop since": set(range(FRAMES - 1)),
    "cut, 3 crops since": set(range(FRAMES - 3)),
    "cut, 5 crops since": set(range(FRAMES - 5)),
    "newest crop occluded": {FRAMES - 1},
    "earlier crops occluded": set(range(FRAMES - 1)),
    "earlier crops damaged": set(range(FRAMES - 1)),
}


def recorded(condition, kind):
    faces = [np.ascontiguousarray(face) for face in sample_faces()[:2]]
    return record(faces, Backgrounds(None), condition, kind, SIDE, lambda picture: None)


@pytest.fixture(scope="module")
def moving():
    return recorded("clean", "shift")


def test_a_still_face_behind_a_good_camera_is_the_same_in_all_crops():
    tracks = recorded("clean", STILL)
    assert tracks.lr.shape[1] == FRAMES and np.ptp(tracks.lr.astype(int), axis=1).max() <= 6
    assert tracks.motions == pytest.approx(np.broadcast_to(np.eye(2, 3), tracks.motions.shape), abs=1e-5)


def test_true_motions_replace_those_of_the_registration(moving):
    crops, motions = moving.lr[0], [affine(motion) for motion in moving.motions[0]]
    history = registered(crops)
    exact = with_motions(history, motions)
    found, true = (np.array([motion for _, motion in one.earlier]) for one in (history, exact))
    kept = np.array(motions[-len(history.crops) : -1])
    assert all(np.abs(kept - one).max(1).min() < 1e-4 for one in true)
    assert 0 < np.abs(found - true).max() < 0.5


def test_a_history_is_limited_to_the_number_of_crops(moving):
    history = registered(moving.lr[0])
    assert [last(history, k).frames for k in (1, 2, 5)] == [1, 2, 5]
    assert not last(history, 1).earlier and last(history, 1).samples(4).max() == 0


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_changes_only_the_crops_that_it_names(moving, name):
    one, other = (Track(moving.lr[n], moving.hr[n]) for n in (0, 1))
    before = one.crops.copy()
    faulty = FAULTS[name](one, other, np.random.default_rng(0))
    changed = {n for n in range(FRAMES) if not np.array_equal(faulty.crops[n], before[n])}
    assert changed == CHANGED[name] if name in CHANGED else 1 <= len(changed) <= 2
    assert np.array_equal(faulty.truth, one.truth) == (name != "newest crop occluded")
    assert np.array_equal(one.crops, before)


def test_the_interval_of_the_mean_holds_it_and_one_track_has_none():
    assert interval({1: [0.5, 0.7]}) == "one track"
    low, high = (float(value) for value in interval({n: [n / 10] * 3 for n in range(10)}).split(" to "))
    assert 0 < low < 0.45 < high < 0.9
