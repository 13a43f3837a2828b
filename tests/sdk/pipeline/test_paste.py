"""Enlarging the frame and blending the faces into it."""

import itertools

import cv2
import numpy as np
import pytest
from facesr_edge.sdk.pipeline.paste import enlarge, feather, paste
from facesr_edge.sdk.pipeline.results import Face

RNG = np.random.default_rng(7)


def face_at(x, y, side, pixels=None, scale=4):
    if pixels is None:
        pixels = RNG.integers(0, 256, (side * scale, side * scale, 3), dtype=np.uint8)
    box = np.array([x, y, x + side, y + side], np.float32)
    original = np.zeros((side, side, 3), np.uint8)
    return Face(box, 0.9, np.zeros((5, 2), np.float32), (x, y, x + side, y + side), original, pixels, 50.0)


def random_frame(height=120, width=160):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("outscale", [2, 3, 4])
def test_paste_leaves_the_background_untouched(outscale):
    before = enlarge(random_frame(), outscale)
    after = before.copy()
    paste(after, (face_at(40, 30, 32),), outscale)
    changed = np.argwhere((after != before).any(2))
    assert changed.min(0).tolist() >= [30 * outscale, 40 * outscale]
    assert changed.max(0).tolist() < [62 * outscale, 72 * outscale]


def test_the_center_of_a_pasted_face_equals_the_face():
    face = face_at(40, 30, 32)
    canvas = enlarge(random_frame(), 4)
    paste(canvas, (face,), 4)
    assert np.abs(canvas[120 + 16 : 248 - 16, 160 + 16 : 288 - 16].astype(int) - face.pixels[16:-16, 16:-16]).max() <= 1


def test_the_blended_border_stays_between_frame_and_face():
    canvas = np.full((480, 640, 3), 40, np.uint8)
    paste(canvas, (face_at(40, 30, 32, np.full((128, 128, 3), 200, np.uint8)),), 4)
    assert canvas.min() == 40 and canvas.max() == 200
    assert (np.diff(canvas[184, 160:224, 0].astype(int)) >= 0).all()


def test_a_face_equal_to_the_background_changes_nothing():
    canvas = np.full((480, 640, 3), 99, np.uint8)
    faces = [
        face_at(x, y, side, np.full((4 * side, 4 * side, 3), 99, np.uint8))
        for x, y, side in ((40, 30, 32), (50, 36, 48))
    ]
    paste(canvas, tuple(faces), 4)
    assert (canvas == 99).all()


def test_the_result_does_not_depend_on_the_order_of_overlapping_faces():
    faces = (face_at(40, 30, 32), face_at(55, 40, 48), face_at(48, 20, 32), face_at(120, 80, 32))
    background = enlarge(random_frame(), 2)
    results = []
    for order in itertools.permutations(faces):
        canvas = background.copy()
        paste(canvas, order, 2)
        results.append(canvas)
    assert all((result == results[0]).all() for result in results)


def test_overlapping_faces_are_averaged_by_weight():
    canvas = np.zeros((480, 640, 3), np.uint8)
    light, dark = (np.full((128, 128, 3), value, np.uint8) for value in (200, 100))
    paste(canvas, (face_at(40, 30, 32, light), face_at(56, 30, 32, dark)), 4)
    row = canvas[184, :, 0]
    assert row[190] == 200 and row[320] == 100
    assert row[255] == pytest.approx(150, abs=3)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (128, 0), (0, 88), (128, 88), (64, 0), (0, 44)])
def test_faces_at_borders_and_corners_are_pasted(x, y):
    canvas = np.zeros((480, 640, 3), np.uint8)
    paste(canvas, (face_at(x, y, 32, np.full((128, 128, 3), 255, np.uint8)),), 4)
    assert canvas[4 * y + 64, 4 * x + 64].tolist() == [255] * 3


def test_the_padding_of_a_small_frame_is_not_pasted():
    face = face_at(-4, -6, 32, np.full((128, 128, 3), 255, np.uint8))
    canvas = np.zeros((80, 96, 3), np.uint8)  # a frame of 24x20, at 4
    paste(canvas, (face,), 4)
    assert canvas[40, 48].tolist() == [255] * 3
    assert (canvas[:, 0] > 0).any(), "the edge of the frame lies inside the feather"


def test_feather_is_symmetric_and_rises_from_0_to_1():
    weights = feather(96)
    assert (weights == weights.T).all() and (weights == weights[::-1]).all()
    assert weights[0].max() < 0.02 and weights[48, 48] == 1


def test_enlarge_keeps_pixel_centers():
    ramp = np.tile(np.arange(20, 180, 4, dtype=np.uint8)[None, :, None], (20, 1, 3))
    large = enlarge(ramp, 4)
    expected = 20 + 4 * ((np.arange(16, 144) - 1.5) / 4)
    assert np.abs(large[40, 16:144, 0] - expected).max() <= 1
    assert large.shape == (80, 160, 3) and cv2.resize(large, (40, 20), interpolation=cv2.INTER_AREA).shape == ramp.shape
