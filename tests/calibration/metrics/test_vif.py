"""Visual information fidelity: its bounds, and values that other programs give."""

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.metrics.image import vif_y
from scipy.signal import convolve2d


@pytest.fixture(scope="module")
def faces():
    return np.stack(sample_faces()[:3])


def noisy(faces, deviation):
    noise = np.random.default_rng(0).normal(0, deviation, faces.shape)
    return np.clip(faces + noise, 0, 255).astype(np.uint8)


def blurred(faces, sigma):
    return np.stack([cv2.GaussianBlur(face, (0, 0), sigma) for face in faces])


def by_definition(seen, true):
    """Written with whole windows: what each scale keeps of the information in its sub-band."""
    kept = there = 0.0
    for size in (17, 9, 5, 3):
        x = np.arange(size) - size // 2
        window = np.exp(-(x[:, None] ** 2 + x[None] ** 2) / (2 * (size / 5) ** 2))
        window /= window.sum()

        def mean(plane, window=window):
            return convolve2d(plane, window, mode="valid")

        if size < 17:
            seen, true = mean(seen)[::2, ::2], mean(true)[::2, ::2]
        both = mean(seen * true) - mean(seen) * mean(true)
        of_seen, of_true = mean(seen**2) - mean(seen) ** 2, mean(true**2) - mean(true) ** 2
        gain = np.maximum(both / of_true, 0)
        kept += np.log(1 + gain**2 * of_true / (of_seen - gain * both + 2)).sum()
        there += np.log(1 + of_true / 2).sum()
    return kept / there


def test_equal_pictures_have_all_the_information(faces):
    assert vif_y(faces, faces) == pytest.approx([1.0] * 3, abs=1e-6)


@pytest.mark.parametrize("worse", [blurred, noisy])
def test_the_more_is_lost_the_less_is_left(faces, worse):
    steps = np.stack([vif_y(worse(faces, amount), faces) for amount in (1, 2, 4, 8)])
    assert (np.diff(steps, axis=0) < -0.01).all() and (steps > 0).all() and (steps < 1).all()


def test_contrast_that_was_gained_counts_above_one(faces):
    dull = (faces // 2).astype(np.uint8)
    assert (vif_y(dull * 2, dull) > 1.1).all()


def test_it_follows_its_definition():
    true = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    seen = noisy(blurred(true, 0.7), 9)
    planes = [pictures @ (np.array([24.966, 128.553, 65.481]) / 255) + 16 for pictures in (seen, true)]
    assert vif_y(seen, true) == pytest.approx([by_definition(*pair) for pair in zip(*planes, strict=True)], abs=1e-6)


def test_torchmetrics_and_sewar_say_the_same(faces):
    """Version 1.9.0 of the one and 0.4.10 of the other, on the luma of these very pictures."""
    seen = np.stack([cv2.GaussianBlur(face, (0, 0), n + 1) for n, face in enumerate(faces)])
    assert vif_y(seen, faces)[:2] == pytest.approx([0.57632344, 0.39701835], abs=2e-3)


def test_a_flat_face_has_nothing_to_lose(faces):
    assert vif_y(faces[:1], np.full_like(faces[:1], 90)) == [1.0]
