"""A share of the face of the frame before: steadier, nearer to the truth, and never where the crops differ."""

import cv2
import numpy as np
import pytest
from facesr_edge.engines.multiframe.history import extended
from facesr_edge.engines.multiframe.registration import IDENTITY, shift
from facesr_edge.engines.multiframe.steady import SHARE, steadied


def enlarged(crop, scale=4):
    return cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def pair(drawn, motion=IDENTITY, side=32):
    """History of two crops, and both crops."""
    old, new = drawn(side), drawn(side, motion)
    return extended(extended(None, old, (0, 0), 5), new, (0, 0), 5), old, new


def noisy(picture, seed, sigma=6):
    noise = np.random.default_rng(seed).normal(0, sigma, picture.shape)
    return np.uint8(np.clip(np.rint(picture + noise), 0, 255))


@pytest.mark.parametrize("side", [16, 32, 64])
def test_independent_noise_of_two_frames_is_averaged(drawn, side):
    history, _, new = pair(drawn, side=side)
    truth = enlarged(new)
    mixed = steadied(noisy(truth, 1), history, noisy(truth, 2))
    error, before = (float(np.square(part.astype(float) - truth).mean()) for part in (mixed, noisy(truth, 1)))
    assert mixed.dtype == np.uint8 and mixed.shape == truth.shape and error < 0.62 * before
    change = np.abs(mixed.astype(float) - noisy(truth, 2)).mean()
    assert change < (1.1 - SHARE) * np.abs(noisy(truth, 1).astype(float) - noisy(truth, 2)).mean()


def test_the_face_before_is_moved_with_the_face(drawn):
    history, old, new = pair(drawn, shift(1.3, -0.8))
    inner = (slice(24, -24), slice(24, -24))
    mixed = steadied(enlarged(new), history, enlarged(old))
    difference = np.abs(mixed.astype(int) - enlarged(new))[inner].mean()
    assert difference < 0.3 * np.abs(enlarged(old).astype(int) - enlarged(new))[inner].mean()


def test_what_has_changed_is_not_mixed(drawn):
    old, new = drawn(32), drawn(32)
    new[20:25, 20:25] = np.where(new[20:25, 20:25] > 128, 20, 235)
    history = extended(extended(None, old, (0, 0), 5), new, (0, 0), 5)
    assert len(history.crops) == 2
    mixed = steadied(enlarged(new), history, enlarged(old))
    assert np.abs(mixed.astype(int) - enlarged(new))[84:96, 84:96].max() <= 4


def test_parts_that_the_crop_before_did_not_show_are_not_mixed(drawn):
    history, old, new = pair(drawn, shift(5, 0))
    mixed = steadied(enlarged(new), history, np.zeros_like(enlarged(old)))
    np.testing.assert_array_equal(mixed[:, :12], enlarged(new)[:, :12])
    assert np.abs(mixed.astype(int) - enlarged(new))[:, 60:].mean() > 10


def test_crops_of_different_sides_are_mixed(drawn):
    old, new = drawn(48, width=96.0), drawn(64, width=128.0)
    history = extended(extended(None, old, (200 - 24, 100 - 24), 5), new, (200 - 32, 100 - 32), 5)
    assert len(history.crops) == 2
    mixed = steadied(enlarged(new), history, enlarged(old))
    assert mixed.shape == (256, 256, 3)
    assert np.abs(mixed.astype(int) - enlarged(new))[64:-64, 64:-64].mean() < 3
