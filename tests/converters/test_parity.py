"""Parity limits of conversion steps, for pixels and for detector maps."""

import numpy as np
import pytest
from facesr_edge.converters.parity import (
    MAX_CONSISTENCY_ERROR_DB,
    MAX_ERROR,
    MIN_PSNR_DB,
    consistency_parity,
    map_parity,
    pixel_parity,
)
from facesr_edge.engines.errors import ParityError


def gray(level=100):
    return np.full((2, 32, 32, 3), level, np.uint8)


@pytest.mark.parametrize("step", sorted(MIN_PSNR_DB))
def test_equal_pixels_have_99_db(step):
    assert pixel_parity(step, gray(), gray()) == {f"{step}_max_error": 0.0, f"{step}_psnr_db": 99.0}


@pytest.mark.parametrize(("step", "every"), [("traced", 16), ("simplified", 16), ("fp16", 2)])
def test_single_gray_levels_are_within_the_limit(step, every):
    actual = gray().reshape(-1)
    actual[::every] += 1
    metrics = pixel_parity(step, gray(), actual.reshape(gray().shape))
    assert metrics[f"{step}_max_error"] == 1 and metrics[f"{step}_psnr_db"] >= MIN_PSNR_DB[step]


@pytest.mark.parametrize(
    ("step", "every", "error"), [("traced", 8, 1), ("simplified", 1, 1), ("fp16", 1, 1), ("fp16", 8, 3)]
)
def test_psnr_below_the_limit_is_an_error(step, every, error):
    actual = gray().reshape(-1)
    actual[::every] += error
    with pytest.raises(ParityError, match=rf"the {step} network differs .* at least {MIN_PSNR_DB[step]:.0f} dB"):
        pixel_parity(step, gray(), actual.reshape(gray().shape))


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_consistency_of_the_worst_face_is_limited(sign):
    crops, pixels = gray(), np.full((2, 128, 128, 3), 98, np.uint8)  # a residual of 4
    within, beyond = (4 * 10 ** (sign * share * MAX_CONSISTENCY_ERROR_DB / 10) for share in (0.9, 1.1))
    assert consistency_parity("engine", crops, pixels, np.float32([within, 4])) == {
        "engine_consistency_error_db": pytest.approx(0.9 * MAX_CONSISTENCY_ERROR_DB, abs=1e-3)
    }
    for residual in (beyond, np.nan):
        with pytest.raises(ParityError, match="consistency of the engine graph differs"):
            consistency_parity("engine", crops, pixels, np.float32([4, residual]))


def test_a_residual_of_zero_is_consistent():
    assert consistency_parity("fp16", gray(), np.full((2, 64, 64, 3), 100, np.uint8), np.zeros(2, np.float32)) == {
        "fp16_consistency_error_db": pytest.approx(0, abs=1e-3)
    }


def test_steps_with_an_accuracy_check_have_no_parity_limit():
    assert pixel_parity("int8", gray(), gray(90))["int8_max_error"] == 10
    assert map_parity("fp16", np.zeros((1, 20, 15)), np.full((1, 20, 15), 5.0))["fp16_max_error"] == 5


def test_negative_errors_count_as_positive_ones():
    with pytest.raises(ParityError):
        pixel_parity("fp16", gray(250), gray(5))


@pytest.mark.parametrize("step", sorted(MAX_ERROR))
@pytest.mark.parametrize("sign", [-1, 1])
def test_maps_are_limited_by_their_max_error(step, sign):
    maps, limit = np.zeros((1, 20, 15), np.float32), MAX_ERROR[step]
    within, beyond = maps.copy(), maps.copy()
    within[0, 7, 3], beyond[0, 7, 3] = 0.99 * sign * limit, 1.01 * sign * limit
    assert map_parity(step, maps, within)[f"{step}_max_error"] == pytest.approx(0.99 * limit)
    with pytest.raises(ParityError, match=f"the {step} detector differs"):
        map_parity(step, maps, beyond)


@pytest.mark.parametrize("step", ["traced", "fp16", "int8"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_maps_that_are_not_finite_are_an_error(step, value):
    broken = np.zeros((1, 20, 15), np.float32)
    broken[0, 0, 0] = value
    with pytest.raises(ParityError):
        map_parity(step, np.zeros((1, 20, 15), np.float32), broken)
