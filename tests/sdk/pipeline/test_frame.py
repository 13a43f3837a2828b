"""Validation of frames, and conversion to BGR."""

import numpy as np
import pytest
from facesr_edge.engines.errors import InputError
from facesr_edge.sdk.pipeline.frame import Frame, bgr_from


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
def test_grey_and_bgra_images_are_converted_to_bgr(shape):
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    bgr = bgr_from(pixels)
    assert bgr.shape == (4, 6, 3) and bgr.dtype == np.uint8
    first = pixels.reshape(4, 6, -1)
    assert (bgr[..., 0] == first[..., 0]).all()


def test_bgr_is_not_copied():
    pixels = np.zeros((4, 6, 3), np.uint8)
    assert np.shares_memory(bgr_from(pixels), pixels)


def test_the_upper_eight_of_sixteen_bits_are_kept():
    assert bgr_from(np.full((2, 2), 0xAB12, np.uint16))[0, 0].tolist() == [0xAB] * 3


@pytest.mark.parametrize("shape", [(0, 5, 3), (4,), (4, 6, 2), (2, 4, 6, 3)])
def test_other_shapes_are_rejected(shape):
    with pytest.raises(InputError, match=r"expected an image"):
        bgr_from(np.zeros(shape, np.uint8))


def test_other_dtypes_are_rejected():
    with pytest.raises(InputError, match="float32"):
        bgr_from(np.zeros((4, 6, 3), np.float32))
    with pytest.raises(InputError, match="uint8 BGR"):
        Frame(np.zeros((4, 6), np.uint8))
