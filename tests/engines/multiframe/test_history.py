"""The last crops of one face: what begins, extends and ends a history."""

import weakref

import cv2
import numpy as np
import pytest
from facesr_edge.engines.multiframe.accumulation import channels
from facesr_edge.engines.multiframe.history import SPAN, ages, extended
from facesr_edge.engines.multiframe.registration import inverse, shift

pytestmark = pytest.mark.filterwarnings("error")
EYES_XY = (205, 103), (243, 101)


def history_of(crops, frames, origins=None):
    history = None
    for index, crop in enumerate(crops):
        history = extended(history, crop, origins[index] if origins else (0, 0), frames)
    return history


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_a_history_grows_to_its_limit_and_spreads_its_crops(drawn, error_px, frames):
    motions = [shift(0.2 * index, -0.1 * index) for index in range(16)]
    history = None
    for index, motion in enumerate(motions):
        history = extended(history, drawn(32, motion), (0, 0), frames)
        assert history.frames == min(index + 1, frames)
        assert len(history.crops) == min(index, SPAN) + 1
        expected = ages(min(index, SPAN), frames - 1)
        assert len(history.earlier) == len(expected) == history.frames - 1
        for (_, found), age in zip(history.earlier, reversed(expected), strict=True):
            assert error_px(found, shift(0.2 * age, -0.1 * age), 32) < 0.2


@pytest.mark.parametrize(("available", "count"), [(0, 4), (1, 4), (3, 4), (11, 1), (11, 2), (11, 4), (11, 6), (5, 5)])
def test_ages_are_different_and_reach_to_the_oldest_crop(available, count):
    chosen = ages(available, count)
    assert len(set(chosen)) == len(chosen) == min(available, count)
    assert list(chosen) == sorted(chosen) and (not chosen or (chosen[0] >= 1 and chosen[-1] == available))


@pytest.mark.parametrize(("side", "limit"), [(16, 0.4), (32, 0.2), (64, 0.3), (128, 0.5)])
def test_errors_stay_small_over_a_long_track(drawn, about_center, error_px, side, limit):
    """The face walks in a circle, nods and comes closer and goes, for 60 frames."""

    def pose(index):
        angle, walk = 3 * np.sin(index / 6), 1.5 * np.exp(1j * index / 5)
        return about_center(side, float(angle), 1 + 0.04 * float(np.sin(index / 9)), 1.0, walk.real, walk.imag)

    history, errors = None, []
    for index in range(60):
        history = extended(history, drawn(side, pose(index)), (0, 0), 7)
        assert history.frames == min(index + 1, 7)
        if index >= SPAN:
            oldest = history.earlier[0][1]
            found = np.vstack((np.reshape(oldest, (2, 3)), (0, 0, 1))) @ np.vstack(
                (np.reshape(pose(index - SPAN), (2, 3)), (0, 0, 1))
            )
            errors.append(error_px(found[:2].ravel(), pose(index), side))
    assert max(errors) < limit
    assert np.median(errors[-20:]) < 1.5 * np.median(errors[:20]) + 0.05


@pytest.mark.parametrize("windows", [[(100, 50)] * 5, [(100 + 2 * n, 50 - n) for n in range(5)]])
def test_a_face_that_stands_still_has_not_moved_though_its_window_has(drawn, windows):
    start_x, start_y = windows[0]
    crops = [drawn(32, shift(start_x - x, start_y - y)) for x, y in windows]
    assert history_of(crops, 5, windows).moved_px < 0.1


def test_a_face_that_walks_has_moved_in_the_frame_wherever_its_window_is(drawn):
    steps = range(5)
    in_window = history_of([drawn(32, shift(0.4 * n, 0)) for n in steps], 5)
    followed = history_of([drawn(32)] * 5, 5, [(100 + 3 * n, 50) for n in steps])
    assert in_window.moved_px == pytest.approx(1.0, abs=0.1) and followed.moved_px == pytest.approx(7.5, abs=0.2)
    assert history_of([drawn(32)], 5).moved_px == 0


def test_windows_that_jump_with_the_face_are_followed(drawn):
    """The face stays where it is in its window, and both move through the frame."""
    crops = [drawn(32, shift(0.2 * index, 0)) for index in range(5)]
    history = history_of(crops, 5, [(40 * index, 300 - 25 * index) for index in range(5)])
    assert history.frames == 5
    assert history.earlier[0][1] == pytest.approx(shift(0.8, 0), abs=0.15)


def test_faces_that_stay_while_their_window_jumps_are_followed(drawn):
    steps = [0, 3, -2, 2, 0]
    crops = [drawn(32, shift(-step, step)) for step in steps]
    history = history_of(crops, 5, [(100 + step, 50 - step) for step in steps])
    assert history.frames == 5
    assert history.earlier[0][1] == pytest.approx(shift(0, 0), abs=0.15)


def test_faces_that_move_at_constant_speed_through_a_window_are_followed(drawn):
    crops = [drawn(32, shift(3.4 * index - 7, 0)) for index in range(5)]
    history = history_of(crops, 5)
    assert history.frames == 5
    assert history.earlier[-1][1] == pytest.approx(shift(3.4, 0), abs=0.3)


@pytest.mark.parametrize("sides", [(48, 64), (64, 48), (32, 48, 32), (112, 128), (64, 80, 96)])
def test_a_change_of_the_side_goes_on(drawn, sides):
    """The window changes its size around a face that stays."""
    crops = [drawn(side, width=2.0 * side) for side in sides]
    history = history_of(crops, 7, [(200 - side // 2, 100 - side // 2) for side in sides])
    assert history.frames == len(sides)
    margin = (sides[-1] - sides[0]) / 2
    assert history.earlier[0][1] == pytest.approx(shift(margin, margin), abs=0.3)
    samples = history.samples(4)
    assert samples.shape == (channels(4), sides[-1], sides[-1]) and samples.any()


def test_a_cut_begins_a_new_history(drawn):
    history = history_of([drawn(32)] * 3, 7)
    cut = extended(history, drawn(32, center_xy=(100, 300)), (0, 0), 7)
    assert cut.frames == 1 and cut.earlier == () and not cut.samples(4).any()
    assert extended(cut, drawn(32, center_xy=(100, 300)), (0, 0), 7).frames == 2


def test_another_person_begins_a_new_history(shared):
    paths = sorted((shared / "faces" / "test").iterdir())[24:48]
    crops = [cv2.resize(cv2.imread(str(path)), (32, 32), interpolation=cv2.INTER_AREA) for path in paths]
    history = None
    for crop in crops:
        for count in (1, 2, 3):
            history = extended(history, crop, (0, 0), 7)
            assert history.frames == count


def test_a_hand_in_front_of_the_face_begins_a_new_history_or_has_no_weight(drawn):
    face = drawn(32)
    history = history_of([face] * 3, 7)
    hidden = face.copy()
    hidden[12:30, 6:26] = cv2.resize(drawn(8, center_xy=(430, 420)), (20, 18))
    covered = extended(history, hidden, (0, 0), 7)
    assert covered.frames == 1 or covered.samples(4)[16:, 14:28, 8:24].max() < 0.1


def test_a_blink_goes_on_and_closed_eyes_do_not_move_the_face(drawn, astronaut, error_px):
    closed = astronaut.copy()
    for x, y in EYES_XY:  # the skin above covers them
        closed[y - 5 : y + 6, x - 13 : x + 14] = closed[y - 9 : y - 8, x - 13 : x + 14]
    blink = cv2.resize(closed[118 - 64 : 118 + 64, 225 - 64 : 225 + 64], (32, 32), interpolation=cv2.INTER_AREA)
    assert np.abs(blink.astype(int) - drawn(32)).max() > 30
    history = history_of([drawn(32), drawn(32), blink, drawn(32)], 7)
    assert history.frames == 4
    for _, motion in history.earlier:
        assert error_px(motion, shift(0, 0), 32) < 0.1


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_crops_end_a_history(drawn, level):
    flat = np.full((32, 32, 3), level, np.uint8)
    history = history_of([drawn(32), drawn(32), flat], 7)
    assert history.frames == 1 and history.earlier == () and np.isfinite(history.correlation)
    assert extended(history, drawn(32), (0, 0), 7).frames == 1
    assert extended(history, flat, (0, 0), 7).frames == 1


def test_the_light_may_change_at_once(drawn):
    dark = np.rint(drawn(32) * 0.7).astype(np.uint8)
    assert history_of([drawn(32), drawn(32), dark, dark, drawn(32)], 7).frames == 5


def test_the_first_crop_has_no_samples(drawn):
    history = extended(None, drawn(48), (5, 7), 7)
    assert history.frames == 1 and np.isnan(history.correlation) and history.origin_xy == (5, 7)
    assert not history.samples(4).any()


def test_samples_of_the_true_motion_are_those_of_the_history(drawn):
    """The mean of the samples brings the picture nearer to the next finer rendering than bicubic is."""
    motions = [shift(0.37 * index, 0.21 * index) for index in range(7)]
    history = history_of([drawn(32, motion) for motion in motions], 7)
    samples = history.samples(2)
    bicubic = cv2.resize(history.newest, (64, 64), interpolation=cv2.INTER_CUBIC)
    last = motions[-1]
    truth = cv2.cvtColor(drawn(64, shift(2 * last[2], 2 * last[5])), cv2.COLOR_BGR2GRAY).astype(float)
    difference, weight = (
        part.reshape(2, 2, 32, 32).transpose(2, 0, 3, 1).reshape(64, 64) for part in (samples[:4], samples[4:])
    )
    sampled = weight > 0.4
    sampled[[0, 1, -2, -1]] = sampled[:, [0, 1, -2, -1]] = False
    before = np.abs(bicubic - truth)[sampled].mean()
    after = np.abs(bicubic + 255 * difference - truth)[sampled].mean()
    assert sampled.sum() > 1000 and after < before


def test_a_history_keeps_no_older_history(drawn):
    first = extended(None, drawn(32), (0, 0), 3)
    gone = weakref.ref(first)
    history = first
    del first
    for _ in range(4):
        history = extended(history, drawn(32), (0, 0), 3)
    assert gone() is None and history.frames == 3


def test_memory_is_constant_over_a_long_track(drawn, memory_bytes):
    crops = {side: [drawn(side, shift(0.3 * index, 0)) for index in range(4)] for side in (32, 48, 64)}
    history = None

    def follow(rounds):
        nonlocal history
        for index in range(rounds):
            side = (32, 48, 64)[index // 10 % 3]
            history = extended(history, crops[side][index % 4], (-side // 2, -side // 2), 7)
            history.samples(4)

    follow(150)
    before = memory_bytes()
    follow(600)
    assert memory_bytes() - before < 4e6


def test_inverse_motions_lead_back(drawn, error_px):
    one, two = drawn(32), drawn(32, shift(0.6, -0.4))
    there, back = (history_of(pair, 2).earlier[0][1] for pair in ([one, two], [two, one]))
    assert error_px(inverse(there), back, 32) < 0.08
