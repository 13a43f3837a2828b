"""Tracks of ground-truth faces: motion, registration, and the samples of any number of frames."""

import numpy as np
import pytest
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.calibration.data.tracks import Tracks, joined, moved_tracks, selected
from facesr_edge.engines.multiframe.history import extended


@pytest.fixture(scope="module")
def faces():
    return np.stack(sample_faces())


@pytest.fixture(scope="module")
def tracks(faces):
    return moved_tracks(faces, 4, 7)


def test_newest_crops_show_the_ground_truth(tracks, faces):
    assert tracks.crops.shape == (8, 7, 32, 32, 3) and tracks.scale == 4
    assert np.array_equal(tracks.newest, low_resolution(faces, 4)) and np.array_equal(tracks.truth, faces)
    assert all(not np.array_equal(tracks.crops[:, n], tracks.newest) for n in range(6))


def test_all_crops_of_moved_faces_are_registered(tracks):
    assert (tracks.counts(7) == 7).all() and (tracks.counts(3) == 3).all()
    shifts = np.abs(tracks.motions[:, :-1, :, 2])
    assert 0.5 < shifts.mean() < 9


def test_samples_are_those_of_a_history(tracks):
    for frames in (2, 5, 7):
        samples = tracks.inputs(frames)["samples"]
        history = None
        for crop in tracks.crops[3]:
            history = extended(history, crop, (0, 0), frames)
        np.testing.assert_allclose(samples[3], history.samples(4), atol=0.02)
        assert samples.shape == (8, 32, 32, 32) and samples.dtype == np.float32


def test_crops_before_a_failed_registration_are_left_out(tracks):
    motions = tracks.motions.copy()
    motions[2, :4] = np.nan
    broken = Tracks(tracks.crops, tracks.truth, motions)
    assert broken.counts(7).tolist() == [7, 7, 3, 7, 7, 7, 7, 7]
    last = Tracks(tracks.crops[:, 4:], tracks.truth, tracks.motions[:, 4:])
    assert np.array_equal(broken.inputs(7)["samples"][2], last.inputs(3)["samples"][2])
    assert np.array_equal(broken.inputs(7)["samples"][1], tracks.inputs(7)["samples"][1])


def test_one_frame_has_samples_of_zero(tracks):
    assert not tracks.inputs(1)["samples"].any()


def test_parts_are_joined_and_selected(tracks):
    both = joined([selected(tracks, np.array([1, 3])), selected(tracks, np.array([0]))])
    assert np.array_equal(both.crops, tracks.crops[[1, 3, 0]]) and np.array_equal(both.truth, tracks.truth[[1, 3, 0]])
