"""Sensor and image processing: noise as strong as asked for, colors kept, halos of sharpening."""

import numpy as np
import pytest
from facesr_edge.training.data.cameras.sensor import Sensor, expose


@pytest.fixture(scope="module")
def gray():
    return np.full((120, 160, 3), 120, np.float32)


def edge():
    """Dark left half, bright right half."""
    light = np.full((40, 40, 3), 60, np.float32)
    light[:, 20:] = 180
    return light


def test_white_noise_has_the_standard_deviation_asked_for(gray):
    noisy = expose(gray, Sensor(white_noise=4), None, np.random.default_rng(0))
    assert noisy.std() == pytest.approx(4, rel=0.03) and noisy.mean() == pytest.approx(120, abs=0.1)
    neighbors = np.corrcoef((noisy - 120)[:, :-1].ravel(), (noisy - 120)[:, 1:].ravel())[0, 1]
    assert abs(neighbors) < 0.03


def test_shot_noise_is_spread_by_demosaicing_and_grows_in_linear_light(gray):
    noisy = expose(gray, Sensor(shot_noise=6), None, np.random.default_rng(0)) - 120
    assert 2 < noisy.std() < 6
    assert np.corrcoef(noisy[:, :-1].ravel(), noisy[:, 1:].ravel())[0, 1] > 0.2


def test_each_frame_has_noise_of_its_own(gray):
    rng = np.random.default_rng(0)
    first, second = (expose(gray, Sensor(white_noise=4), None, rng) - 120 for _ in range(2))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


def test_a_mosaic_keeps_colors_in_flat_areas():
    color = np.empty((40, 40, 3), np.float32)
    color[:] = (30, 90, 200)
    np.testing.assert_allclose(expose(color, Sensor(mosaic=True), None, np.random.default_rng(0)), color, atol=0.1)


def test_sharpening_overshoots_at_edges_only():
    sharpened = expose(edge(), Sensor(sharpen=1), None, np.random.default_rng(0))
    assert sharpened[:, 20].mean() > 190 and sharpened[:, 19].mean() < 50
    np.testing.assert_allclose(sharpened[:, :10], 60, atol=0.5)


def test_denoising_removes_noise_and_keeps_the_edge():
    rng = np.random.default_rng(0)
    noisy, filtered = (expose(edge(), Sensor(white_noise=4, denoise=d), None, rng) for d in (0, 8))
    assert (filtered - edge()).std() < 0.7 * (noisy - edge()).std()
    assert filtered[:, 20].mean() - filtered[:, 19].mean() > 110


def test_the_temporal_filter_keeps_a_share_of_the_previous_frame(gray):
    result = expose(gray, Sensor(temporal_denoise=0.25), gray + 40, np.random.default_rng(0))
    np.testing.assert_allclose(result, 130, atol=0.01)


def test_rescaling_softens_and_gain_darkens():
    soft = expose(edge(), Sensor(rescale=0.6), None, np.random.default_rng(0))
    assert soft.shape == (40, 40, 3) and soft[:, 20].mean() - soft[:, 19].mean() < 100
    np.testing.assert_allclose(expose(edge(), Sensor(gain=0.1), None, np.random.default_rng(0)), edge() / 10, rtol=1e-5)
