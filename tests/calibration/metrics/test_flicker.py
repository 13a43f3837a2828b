"""Flicker: exact for known changes, along known motions, and free of what moves with the face."""

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.metrics.flicker import flicker

SCALE = 4


@pytest.fixture(scope="module")
def face():
    noise = np.random.default_rng(0).uniform(0, 255, (160, 160, 3)).astype(np.float32)
    return np.clip(128 + 6 * (cv2.GaussianBlur(noise, (0, 0), 3) - 128), 0, 255).astype(np.uint8)


def test_equal_faces_have_none_and_a_change_of_light_has_its_size(face):
    assert flicker(face, face, SCALE) == 0
    grey = np.full((128, 128, 3), 100, np.uint8)
    assert flicker(grey, grey + np.uint8(3), SCALE) == pytest.approx(3, abs=0.01)


def test_noise_of_two_faces_adds_up(face):
    rng = np.random.default_rng(1)
    one, two = (np.rint(np.clip(100 + rng.normal(0, 5, (256, 256, 1)).repeat(3, 2), 0, 255)) for _ in range(2))
    assert flicker(one.astype(np.uint8), two.astype(np.uint8), SCALE) == pytest.approx(5 * 2**0.5, rel=0.03)


@pytest.mark.parametrize("x, y", [(3, -2), (1, 5), (-6, 0)])
def test_a_face_that_moves_has_none_along_its_motion(face, x, y):
    before = face[16:144, 16:144]
    after = face[16 - y : 144 - y, 16 - x : 144 - x]
    motion = (1.0, 0.0, x / SCALE, 0.0, 1.0, y / SCALE)
    assert flicker(before, after, SCALE, motion) < 0.2 < 5 < flicker(before, after, SCALE)


def test_crops_of_two_sides_are_compared_where_both_show_the_face(face):
    motion = (1.0, 0.0, -2.0, 0.0, 1.0, -2.0)
    assert flicker(face, face[8:136, 8:136], SCALE, motion) < 0.2


def test_faces_that_share_no_pixel_have_no_figure(face):
    assert np.isnan(flicker(face, face, SCALE, (1.0, 0.0, 200.0, 0.0, 1.0, 0.0)))
