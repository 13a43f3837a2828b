"""How much a conversion may change: bounds on either side, for pixels and for maps."""

import numpy as np
import pytest
from facesr_edge.converters.parity import MAX_ERROR, MIN_PSNR_DB, map_parity, pixel_parity
from facesr_edge.engines.errors import ParityError


def grey(level=100):
    return np.full((2, 32, 32, 3), level, np.uint8)


@pytest.mark.parametrize("step", sorted(MIN_PSNR_DB))
def test_equal_pixels_are_told_as_99_db(step):
    assert pixel_parity(step, grey(), grey()) == {f"{step}_max_error": 0.0, f"{step}_psnr_db": 99.0}


@pytest.mark.parametrize(("step", "every"), [("traced", 16), ("simplified", 16), ("fp16", 2)])
def test_a_grey_level_here_and_there_is_within_bounds(step, every):
    got = grey().reshape(-1)
    got[::every] += 1
    figures = pixel_parity(step, grey(), got.reshape(grey().shape))
    assert figures[f"{step}_max_error"] == 1 and figures[f"{step}_psnr_db"] >= MIN_PSNR_DB[step]


@pytest.mark.parametrize(
    ("step", "every", "error"), [("traced", 8, 1), ("simplified", 1, 1), ("fp16", 1, 1), ("fp16", 8, 3)]
)
def test_more_is_refused_with_both_figures(step, every, error):
    got = grey().reshape(-1)
    got[::every] += error
    with pytest.raises(ParityError, match=rf"the {step} network departs .* at least {MIN_PSNR_DB[step]:.0f} dB"):
        pixel_parity(step, grey(), got.reshape(grey().shape))


def test_what_a_gate_judges_has_no_bound_of_its_own():
    assert pixel_parity("int8", grey(), grey(90))["int8_max_error"] == 10
    assert map_parity("fp16", np.zeros((1, 20, 15)), np.full((1, 20, 15), 5.0))["fp16_max_error"] == 5


def test_a_large_error_downwards_counts_as_one_upwards():
    with pytest.raises(ParityError):
        pixel_parity("fp16", grey(250), grey(5))


@pytest.mark.parametrize("step", sorted(MAX_ERROR))
@pytest.mark.parametrize("sign", [-1, 1])
def test_maps_are_held_to_their_largest_error(step, sign):
    maps, limit = np.zeros((1, 20, 15), np.float32), MAX_ERROR[step]
    near, far = maps.copy(), maps.copy()
    near[0, 7, 3], far[0, 7, 3] = 0.99 * sign * limit, 1.01 * sign * limit
    assert map_parity(step, maps, near)[f"{step}_max_error"] == pytest.approx(0.99 * limit)
    with pytest.raises(ParityError, match=f"the {step} detector departs"):
        map_parity(step, maps, far)


@pytest.mark.parametrize("step", ["traced", "fp16", "int8"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_maps_that_are_no_numbers_are_refused(step, value):
    broken = np.zeros((1, 20, 15), np.float32)
    broken[0, 0, 0] = value
    with pytest.raises(ParityError):
        map_parity(step, np.zeros((1, 20, 15), np.float32), broken)
