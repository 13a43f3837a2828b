"""Augmentation: color jitter and camera artifacts keep shape and dtype; motion blur has the given length and angle."""

from __future__ import annotations

import numpy as np
import pytest
from facesr_edge.training.data.augment import camera_artifacts, color_jitter, motion_blur_kernel


@pytest.mark.parametrize("seed", range(12))
def test_color_jitter_and_camera_artifacts_keep_shape_and_dtype(seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (40, 56, 3), np.uint8)
    for augment in (color_jitter, camera_artifacts):
        changed = augment(picture, np.random.default_rng(seed))
        assert (changed.shape, changed.dtype) == (picture.shape, picture.dtype)


def test_pictures_stay_clean_or_become_dark_blurred_or_noisy() -> None:
    picture = np.zeros((48, 48, 3), np.uint8)
    picture[:, 24:] = 200
    augmented = [camera_artifacts(picture, np.random.default_rng(seed)) for seed in range(200)]
    assert 0.25 < np.mean([np.array_equal(s, picture) for s in augmented]) < 0.5
    assert 0.1 < np.mean([s.max() < 150 for s in augmented]) < 0.25  # low light
    assert 0.01 < np.mean([s.max() < 25 for s in augmented]) < 0.1  # an eighth of the light, and less
    assert np.mean([20 < int(s[24, 24, 0]) < 180 and s[24, 5, 0] < 20 for s in augmented]) > 0.1  # blur or motion blur


def test_some_pictures_become_gray() -> None:
    picture = np.full((48, 48, 3), (40, 120, 200), np.uint8)
    augmented = [camera_artifacts(picture, np.random.default_rng(seed)) for seed in range(200)]
    assert 0.05 < np.mean([float(s.mean((0, 1)).std()) < 2 for s in augmented]) < 0.25


@pytest.mark.parametrize("length", [2.0, 4.5, 7.0])
@pytest.mark.parametrize("angle", [0.0, 0.6, np.pi / 2, 2.5])
def test_motion_blur_is_a_centered_line_that_sums_to_one(length: float, angle: float) -> None:
    kernel = motion_blur_kernel(length, angle)
    side = len(kernel)
    assert kernel.shape == (side, side) and side % 2 == 1
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-6)
    y, x = np.mgrid[:side, :side] - side // 2
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    deviation = np.sqrt((kernel * along**2).sum())
    assert deviation == pytest.approx(length / np.sqrt(12), rel=0.4)  # standard deviation of a line of this length
    assert float((kernel * across**2).sum()) < 0.4
