"""The benchmark of registration: its recordings, methods and figures."""

import cv2
import numpy as np
import pytest
from facesr_edge.benchmarks.registration.__main__ import Errors, error_px, measured
from facesr_edge.benchmarks.registration.methods import METHODS, landmarks, vectors_affine, vectors_mean
from facesr_edge.benchmarks.registration.recording import FIRST, FRAMES, Track, coded, record
from facesr_edge.engines.multiframe.registration import IDENTITY, compose, inverse, luma, shift
from facesr_edge.engines.postprocess import Detections
from facesr_edge.training.data.cameras.background import Backgrounds

T = FRAMES - FIRST


def nothing_found(pixels):
    return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))


@pytest.fixture(scope="module")
def tracks(astronaut):
    face = np.ascontiguousarray(astronaut[46:190, 153:297])

    def made(motion="shift", coding="clean", side=32, detect=nothing_found, count=3):
        points = np.array([[52, 57], [90, 55], [73, 78], [58, 95], [90, 94]], np.float32)
        return record([face] * count, Backgrounds(None), motion, coding, side, lambda picture: points, detect)

    return made


@pytest.mark.parametrize("motion", ["shift", "turn", "zoom", "blink"])
@pytest.mark.parametrize("side", [32, 64])
def test_the_true_motion_lays_the_crops_on_each_other(tracks, motion, side):
    for track in tracks(motion, side=side):
        assert track.crops.shape == (T, side, side, 3)
        newest = luma(track.crops[-1])
        matrix = np.reshape(track.motion(1, T - 1), (2, 3))
        moved = cv2.warpAffine(luma(track.crops[1]), matrix, (side, side), None, cv2.INTER_CUBIC)
        inner = (slice(side // 3, -side // 3),) * 2
        still = luma(track.crops[1])
        assert np.abs(moved - newest)[inner].mean() < 0.8 * np.abs(still - newest)[inner].mean() + 1


def test_motions_chain(tracks):
    track = tracks("turn")[0]
    motion = IDENTITY
    for number in range(T - 1):
        motion = compose(track.motion(number, number + 1), motion)
    assert motion == pytest.approx(track.motion(0, T - 1), abs=1e-9)
    assert inverse(motion) == pytest.approx(track.motion(T - 1, 0), abs=1e-9)


def test_the_decoder_gives_motion_vectors():
    scene = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (160, 160, 3), np.uint8), (0, 0), 3)
    frames = [np.ascontiguousarray(scene[20 : 20 + 96, 20 + 3 * t : 20 + 3 * t + 96]) for t in range(4)]
    decoded = coded(frames, 18)
    assert len(decoded[0][1]) == 0
    corners = np.zeros((4, 2), np.int64)
    crops = np.stack([pixels[16:80, 16:80] for pixels, _ in decoded])
    track = Track(crops, corners + 16, np.zeros((4, 3, 3)), tuple(vectors for _, vectors in decoded), (None,) * 4)
    for number in (1, 2):
        assert vectors_mean(track, number) == pytest.approx(shift(-3, 0), abs=0.3)
        assert error_px(vectors_affine(track, number), shift(-3, 0), 64) < 0.3
    assert vectors_mean(Track(crops, corners, track.poses, (np.zeros(0),) * 4, (None,) * 4), 0) is None


def test_landmarks_give_a_similarity(tracks):
    true = compose(shift(3, -2), (0.99, -0.05, 0.0, 0.05, 0.99, 0.0))
    first = np.array([[8, 9], [22, 9], [15, 16], [10, 23], [21, 23]], np.float32)
    second = (np.c_[first, np.ones(5)] @ np.reshape(true, (2, 3)).T).astype(np.float32)
    crops = np.zeros((2, 32, 32, 3), np.uint8)
    track = Track(crops, np.zeros((2, 2), np.int64), np.zeros((2, 3, 3)), (np.zeros(0),) * 2, (first, second))
    assert landmarks(track, 0) == pytest.approx(true, abs=1e-4)
    unseen = Track(crops, track.corners, track.poses, track.vectors, (first, None))
    assert landmarks(unseen, 0) is None


def test_landmarks_are_those_of_the_nearest_detection(tracks):
    def detect(pixels):
        corners = np.array([(x, y) for x in range(0, 640, 20) for y in range(0, 360, 20)], np.float32)
        boxes = np.concatenate((corners, corners + 20), 1)
        return Detections(boxes, np.ones(len(boxes), np.float32), np.repeat(corners[:, None] + 10, 5, 1))

    for points in tracks(detect=detect)[0].landmarks:
        assert np.abs(points - 15.5).max() < 13
    assert tracks()[0].landmarks == (None,) * T


def test_the_registration_is_nearer_to_the_truth_than_the_windows(tracks):
    errors = measured(tracks("turn", "crf 23", count=6), METHODS)
    figures = {name: one.figures() for name, one in errors.items()}
    assert figures["ours"]["one_frame_px"]["median"] < 0.15 < figures["none"]["one_frame_px"]["median"]
    assert figures["ours"]["four_frames_px"]["median"] < figures["motion vectors, mean"]["four_frames_px"]["median"]
    assert figures["ours"]["unanswered"] == 0 and figures["landmarks"]["unanswered"] == 1
    assert all(one["tracks"] == 6 and one["time_us"] > 0 for one in figures.values())


def test_errors_are_those_of_the_last_frame_and_of_all(tracks):
    track, errors = tracks("zoom")[0], Errors()
    errors.add(track, lambda track, number: track.motion(number, number + 1) if number else None)
    true = error_px(IDENTITY, track.motion(0, 1), 32)
    assert errors.one == pytest.approx([0], abs=1e-6) and errors.chained[0] == pytest.approx(true, rel=0.2)
    assert (errors.calls, errors.unanswered) == (T - 1, 1)
    both = errors + errors
    assert both.calls == 2 * errors.calls and both.figures()["tracks"] == 2


def test_the_error_of_a_shift_is_its_length():
    assert error_px(shift(3, 4), IDENTITY, 32) == pytest.approx(5)
