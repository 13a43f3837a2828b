"""The gain on a frame left out: the sign is right, light and motion do not matter, and no figure is made up."""

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import astronaut
from facesr_edge.engines.multiframe.registration import IDENTITY, luma
from facesr_edge.sdk.multiframe.held_out import NO_GAIN, HeldOutErrors, HeldOutGain, held_out_errors, predicted

SIDE, SCALE = 32, 4
BOX = np.array([6, 6, 26, 26], np.float32)


@pytest.fixture(scope="module")
def picture():
    """A face at the resolution of the truth, and its surroundings."""
    return astronaut()[20:244, 116:340]


def truth(picture, x=0, y=0):
    """High-resolution window, moved by parts of a pixel of the camera."""
    return np.ascontiguousarray(picture[48 + y : 48 + y + SCALE * SIDE, 48 + x : 48 + x + SCALE * SIDE])


def camera(face, noise=0.0, seed=0):
    small = cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.clip(np.rint(small + np.random.default_rng(seed).normal(0, noise, small.shape)), 0, 255).astype(np.uint8)


def enlarged(crop):
    return cv2.resize(crop, (SCALE * SIDE, SCALE * SIDE), interpolation=cv2.INTER_CUBIC)


def test_the_truth_predicts_the_next_frame_better_than_an_enlarged_crop(picture):
    now, following = truth(picture), truth(picture, 2, -1)
    crop = camera(now)
    errors = held_out_errors(crop, now, enlarged(crop), camera(following), BOX)
    assert errors is not None and errors.gain_db > 3 and errors.single == pytest.approx(errors.bicubic, rel=0.1)
    worse = held_out_errors(crop, enlarged(crop), now, camera(following), BOX)
    assert worse is not None and worse.gain_db == pytest.approx(-errors.gain_db)


def test_noise_of_the_frame_hides_a_part_of_the_gain(picture):
    now, following = truth(picture), truth(picture, 2, -1)
    crop = camera(now)
    clean, noisy = (held_out_errors(crop, now, enlarged(crop), camera(following, noise), BOX) for noise in (0, 4))
    assert 0 < noisy.gain_db < clean.gain_db and noisy.fused > 6


def test_a_change_of_light_changes_no_error(picture):
    now, following = truth(picture), truth(picture, 2, -1)
    crop, after = camera(now), camera(following)
    darker = np.rint(0.8 * after + 9).astype(np.uint8)
    same, changed = (held_out_errors(crop, now, enlarged(crop), one, BOX) for one in (after, darker))
    assert changed.single == pytest.approx(0.64 * same.single, rel=0.1) and changed.fused < 2


def test_two_equal_faces_have_no_gain(picture):
    crop = camera(truth(picture))
    errors = held_out_errors(crop, enlarged(crop), enlarged(crop), camera(truth(picture, 2, -1)), BOX)
    assert errors is not None and errors.gain_db == 0


@pytest.mark.parametrize("case", ["another picture", "the same pixels", "a box outside"])
def test_a_frame_that_says_nothing_has_no_errors(picture, case):
    crop, following = camera(truth(picture)), camera(truth(picture, 2, -1))
    box = BOX
    if case == "another picture":
        following = np.random.default_rng(0).integers(0, 255, following.shape).astype(np.uint8)
    elif case == "the same pixels":
        following = crop.copy()
    else:
        box = BOX + 40
    assert held_out_errors(crop, enlarged(crop), enlarged(crop), following, box) is None


def test_crops_of_two_sides_are_compared(picture):
    now = truth(picture)
    wide = cv2.resize(picture[16:208, 16:208], (48, 48), interpolation=cv2.INTER_AREA)
    errors = held_out_errors(camera(now), now, enlarged(camera(now)), wide, BOX + 8, (-8, -8))
    assert errors is not None and errors.gain_db > 3


def test_a_prediction_without_motion_is_the_mean_of_the_pixels_area(picture):
    face = luma(truth(picture))
    expected = cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    assert np.abs(predicted(face, IDENTITY, SCALE, SIDE) - expected).max() < 0.01


def test_the_gain_of_a_track_is_the_mean_over_its_frames():
    gain = NO_GAIN
    for fused, single in ((1.0, 10.0), (1.0, 100.0), (1.0, 1.0)):
        gain = gain.with_frame(HeldOutErrors(fused, single, single, 1.0))
    assert gain == HeldOutGain(pytest.approx(10.0), 3) and str(gain) == "+10.0 dB (3 frames)"
    assert gain.to_dict() == {"gain_db": 10.0, "frames": 3} and str(HeldOutGain(-0.5, 1)) == "-0.5 dB (1 frame)"
