"""Samples of earlier crops on the grid of the upscaled face."""

from math import floor

import cv2
import numpy as np
import pytest
from facesr_edge.engines.multiframe.accumulation import HALF_WEIGHT, MIN_WEIGHT, OUTLIER_LEVELS, accumulate, channels
from facesr_edge.engines.multiframe.registration import IDENTITY, compose, inverse, luma, shift

CELLS = [shift((x - 2) / 4, (y - 2) / 4) for x in range(4) for y in range(4)]
"""Motions that bring the pixels of a crop to the centers of the cells of a pixel."""
pytestmark = pytest.mark.filterwarnings("error")


def at(newest, positions, side):
    """The newest crop at the positions of the pixels of another one, bicubic."""
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(newest, positions, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def on_cells(newest):
    """The newest crop at the centers of all cells at a scale of 4, bicubic."""
    return at(newest, np.array(((0.25, 0, -0.5), (0, 0.25, -0.5))), 4 * len(newest))


def by_definition(newest, earlier, scale):
    """The samples, pixel by pixel."""
    side = len(newest)
    size = side * scale
    differences, weights = np.zeros((2, scale * scale, side, side))
    for gray, (a, b, c, d, e, f) in earlier:
        places = {}
        expected = at(newest, np.array(((a, b, c), (d, e, f))), len(gray))
        difference = np.zeros_like(gray)
        for row in range(len(gray)):
            for column in range(len(gray)):
                x = floor(scale * (a * column + b * row + c) + scale // 2 + 0.5)
                y = floor(scale * (d * column + e * row + f) + scale // 2 + 0.5)
                if 0 <= x < size and 0 <= y < size:
                    places[row, column] = y, x
                    difference[row, column] = gray[row, column] - expected[row, column]
        squared = cv2.blur(difference**2, (3, 3))
        for place, (y, x) in places.items():
            weight = 1 / (1 + (squared[place] / OUTLIER_LEVELS**2) ** 2)
            cell = scale * (y % scale) + x % scale, y // scale, x // scale
            differences[cell] += weight * difference[place]
            weights[cell] += weight
    mean = differences / np.maximum(weights, MIN_WEIGHT) / 255
    return np.concatenate((mean, weights / (weights + HALF_WEIGHT)))


def waves(side, motion=IDENTITY, zoom=1):
    """Gray levels of a pattern with details finer than the pixels of a crop can show, at pixels or centers of cells."""
    row, column = np.mgrid[: zoom * side, : zoom * side]
    x, y = ((value / zoom - 0.5 if zoom > 1 else value) for value in (column, row))
    a, b, c, d, e, f = inverse(motion)
    x, y = a * x + b * y + c, d * x + e * y + f
    fine = np.cos(2 * np.pi * (0.7 * x + 0.3 * y)) + np.cos(2 * np.pi * (0.2 * x - 0.65 * y))
    return (128 + 4 * fine + 20 * np.cos(2 * np.pi * 0.05 * (x + y))).astype(np.float32)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("sides", [(16, 16), (16, 24, 16), (24, 16)])
def test_the_samples_are_those_of_the_definition(drawn, about_center, scale, sides):
    newest = luma(drawn(sides[0]))
    motions = [about_center(side, angle=3, zoom=1.02, x=0.371, y=-0.217 * side) for side in sides[1:]]
    earlier = [(luma(drawn(side, (1, 0, 1, 0, 1, 0))), motion) for side, motion in zip(sides[1:], motions, strict=True)]
    samples = accumulate(newest, earlier, scale)
    assert samples.dtype == np.float32 and samples.shape == (channels(scale), sides[0], sides[0])
    assert np.abs(samples - by_definition(newest, earlier, scale)).max() < 1e-5
    assert samples[: scale * scale].any() and samples[scale * scale :].max() <= 1


@pytest.mark.parametrize("side", [16, 32, 64, 128])
def test_many_crops_are_those_of_the_definition(drawn, about_center, side):
    motions = [about_center(side, angle=n, x=0.31 * n, y=-0.23 * n) for n in range(1, 4)]
    newest, earlier = luma(drawn(side)), [(luma(drawn(side, inverse(motion))), motion) for motion in motions]
    samples, defined = accumulate(newest, earlier, 4), by_definition(newest, earlier, 4)
    assert (np.abs(samples - defined) > 1e-5).mean() < 1e-3  # a sample on a border of cells is in either


@pytest.mark.parametrize(("x", "y"), [(0, 0), (1, 0), (0, 1), (3, 2)])
def test_a_channel_is_a_cell_row_by_row(x, y):
    flat = np.full((16, 16), 100, np.float32)
    samples = accumulate(flat, [(flat + 5, shift((x - 2) / 4, (y - 2) / 4))], 4)
    filled = np.flatnonzero(samples[16:].any((1, 2)))
    assert filled.tolist() == [4 * y + x]
    assert np.allclose(samples[4 * y + x][1:-1, 1:-1], 5 / 255)


def test_motions_lead_from_the_earlier_crop_to_the_newest():
    earlier = np.full((16, 16), 100, np.float32)
    newest = earlier.copy()
    earlier[5, 3] = 110
    samples = accumulate(newest, [(earlier, shift(4, 2))], 2)
    assert np.argwhere(samples[:4] > 0.03).tolist() == [[3, 7, 7]]


def test_true_shifts_show_details_that_the_newest_crop_does_not_hold():
    newest = waves(32)
    samples = accumulate(newest, [(waves(32, inverse(motion)), motion) for motion in CELLS], 4)
    bicubic = on_cells(newest)
    difference = samples[:16].reshape(4, 4, 32, 32).transpose(2, 0, 3, 1).reshape(128, 128)
    inner, truth = (slice(8, -8), slice(8, -8)), waves(32, zoom=4)
    error_before = float(np.abs(bicubic - truth)[inner].mean())
    error_after = float(np.abs(bicubic + 255 * difference - truth)[inner].mean())
    assert error_after < 0.1 * error_before


def test_the_shifts_of_the_wrong_sign_do_not():
    newest, truth = waves(32), waves(32, zoom=4)
    bicubic = on_cells(newest)
    samples = accumulate(newest, [(waves(32, motion), motion) for motion in CELLS], 4)
    difference = samples[:16].reshape(4, 4, 32, 32).transpose(2, 0, 3, 1).reshape(128, 128)
    inner = (slice(8, -8), slice(8, -8))
    assert np.abs(bicubic + 255 * difference - truth)[inner].mean() > np.abs(bicubic - truth)[inner].mean()


def test_samples_that_differ_much_lose_their_weight(drawn):
    newest = luma(drawn(32))
    other = newest.copy()
    other[8:16, 8:16] = np.where(newest[8:16, 8:16] > 128, 0, 255)
    samples = accumulate(newest, [(newest, shift(0.1, 0.1)), (other, shift(0.1, 0.1))], 4)
    weight = samples[16:].sum(0)
    assert weight[9:15, 9:15].max() < 0.51 and weight[20:28, 20:28].min() > 0.6
    assert np.abs(samples[:16, 9:15, 9:15]).max() < 0.1


def test_the_weight_grows_with_the_number_of_samples():
    flat = np.full((16, 16), 50, np.float32)
    weights = [accumulate(flat, [(flat, IDENTITY)] * count, 2)[4:].max() for count in range(7)]
    assert np.allclose(weights, [count / (count + 1) for count in range(7)])


@pytest.mark.parametrize(
    "motion",
    [
        (float("nan"),) * 6,
        (1.0, 0.0, float("inf"), 0.0, 1.0, 0.0),
        (1.0, 0.0, 0.0, 0.0, 1.0, float("-inf")),
        shift(1e300, 0),
        shift(1e7, -1e7),
        shift(-99999, 0),
        shift(33, 0),
        shift(0, -33),
        (99999.0,) * 6,
    ],
)
def test_crops_far_outside_add_nothing(drawn, motion):
    newest = luma(drawn(32))
    assert not accumulate(newest, [(newest, motion)], 4).any()
    both = accumulate(newest, [(newest, motion), (newest, shift(0.3, 0))], 4)
    assert np.array_equal(both, accumulate(newest, [(newest, shift(0.3, 0))], 4))


def test_a_crop_partly_outside_adds_what_is_inside(drawn):
    newest = luma(drawn(32))
    samples = accumulate(newest, [(newest, shift(10.1, -4.1))], 4)[16:].sum(0)
    assert not samples[:, :10].any() and not samples[28:].any() and samples[:27, 11:].all()


def test_the_result_is_written_where_asked_and_nothing_remains_of_what_was_there(drawn):
    newest = luma(drawn(16))
    batch = np.full((3, 8, 16, 16), np.nan, np.float32)
    earlier = [(newest, shift(0.4, 0.1))]
    for row, crops in zip(batch, ([], earlier, [(newest, shift(99, 0))]), strict=True):
        assert accumulate(newest, crops, 2, row) is row
    assert not batch[0].any() and not batch[2].any()
    assert np.array_equal(batch[1], accumulate(newest, earlier, 2))


def test_the_crops_are_not_changed(drawn):
    newest, other = luma(drawn(32)), luma(drawn(32, shift(0.5, 0)))
    kept = newest.copy(), other.copy()
    accumulate(newest, [(other, shift(-0.5, 0)), (other, compose(shift(1, 1), shift(0, 0.2)))], 4)
    assert np.array_equal(newest, kept[0]) and np.array_equal(other, kept[1])
