"""Calibration of error widths: coverage overall and by width, and the figures that describe it."""

import numpy as np
import pytest
from facesr_edge.calibration.uncertainty import calibrate, luma_error, measure, pinball, spearman


def laplace_errors(seed, size=100_000):
    """Estimated widths of 1 to 30 gray levels, and errors whose scale is the estimate's, but not its quantile."""
    rng = np.random.default_rng(seed)
    width = rng.uniform(1, 30, size)
    return width, np.abs(rng.laplace(0, 0.2 * width))


def test_calibrated_widths_cover_nine_in_ten_overall_and_where_they_are_small_or_large():
    known, held_out = laplace_errors(0), laplace_errors(1)
    raw, calibrated = calibrate([known[0]], [known[1]], 0.9)
    widths = np.interp(held_out[0], raw, calibrated)
    for part in (held_out[0] > 0, held_out[0] < 8, held_out[0] > 22):
        assert np.mean(held_out[1][part] <= widths[part]) == pytest.approx(0.9, abs=0.02)


def test_conditions_have_the_same_weight_whatever_their_number_of_pixels():
    small, large = np.full(20_000, 5.0), np.full(200_000, 5.0)
    errors = np.linspace(0, 10, 20_000), np.linspace(0, 1, 200_000)
    _, calibrated = calibrate([small, large], errors, 0.9)
    pooled = np.concatenate([errors[0], errors[1][::10]])
    assert calibrated[-1] == pytest.approx(np.quantile(pooled, 0.9), abs=0.3)


def test_calibrated_widths_never_fall():
    rng = np.random.default_rng(0)
    raw, calibrated = calibrate([rng.uniform(0, 9, 5_000)], [rng.uniform(0, 9, 5_000)], 0.9)
    assert (np.diff(raw) > 0).all() and (np.diff(calibrated) >= 0).all()


def test_widths_that_follow_the_errors_beat_the_best_constant():
    width, error = laplace_errors(0)
    result = measure(np.rint(0.46 * width).astype(np.uint8), error, 0.9)  # the 90 % quantile of these errors
    assert result.coverage == pytest.approx(0.9, abs=0.01) and result.correlation > 0.4
    assert result.mean_half_width < result.constant_half_width and result.pinball < result.constant_pinball


def test_a_constant_width_has_no_correlation_and_the_loss_of_the_constant():
    _, error = laplace_errors(0)
    constant = np.full(error.shape, round(np.quantile(error, 0.9)), np.uint8)
    result = measure(constant, error, 0.9)
    assert result.correlation == 0
    assert result.pinball == pytest.approx(result.constant_pinball, rel=0.01)


def test_pinball_loss_is_smallest_at_the_quantile():
    error = np.linspace(0, 10, 10_001)
    losses = {width: pinball(error, np.full_like(error, width), 0.9) for width in (7.0, 9.0, 10.0)}
    assert min(losses, key=losses.get) == 9.0


def test_rank_correlation_shares_ranks_among_equal_values():
    assert spearman(np.array([1, 1, 2, 3]), np.array([5, 5, 6, 7])) == pytest.approx(1)
    assert spearman(np.arange(9), -np.arange(9)) == pytest.approx(-1)


def test_luma_error_weighs_green_most_and_is_255_from_black_to_white():
    black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    assert luma_error(black, white)[0, 0] == pytest.approx(255, abs=1e-3)
    blue, green, red = (luma_error(black, 100 * np.eye(3, dtype=np.uint8)[n])[0, 0] for n in range(3))
    assert green > red > blue
