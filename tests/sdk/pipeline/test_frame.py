"""What counts as a frame."""

import numpy as np
import pytest
from facesr_edge.engines.errors import InputError
from facesr_edge.sdk.pipeline.frame import Frame, bgr_from


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
def test_grey_and_alpha_pictures_become_bgr(shape):
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    bgr = bgr_from(pixels)
    assert bgr.shape == (4, 6, 3) and bgr.dtype == np.uint8
    first = pixels.reshape(4, 6, -1)
    assert (bgr[..., 0] == first[..., 0]).all()


def test_bgr_is_not_copied():
    pixels = np.zeros((4, 6, 3), np.uint8)
    assert bgr_from(pixels) is not None and np.shares_memory(bgr_from(pixels), pixels)


def test_sixteen_bits_keep_their_upper_eight():
    assert bgr_from(np.full((2, 2), 0xAB12, np.uint16))[0, 0].tolist() == [0xAB] * 3


@pytest.mark.parametrize("shape", [(0, 5, 3), (4,), (4, 6, 2), (2, 4, 6, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match=r"expected a picture"):
        bgr_from(np.zeros(shape, np.uint8))


def test_other_dtypes_are_refused():
    with pytest.raises(InputError, match="float32"):
        bgr_from(np.zeros((4, 6, 3), np.float32))
    with pytest.raises(InputError, match="uint8 BGR"):
        Frame(np.zeros((4, 6), np.uint8))
