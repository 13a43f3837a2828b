"""Validation of frames, and conversion to BGR."""

import numpy as np
import pytest
from facesr_edge.engines.errors import InputError, UnknownNameError, UsageError
from facesr_edge.sdk.pipeline.frame import Frame, bgr_from, frame_from


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


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_rgb_becomes_bgr(channels, dtype):
    rgb = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (5, 7, channels), dtype)
    expected = (rgb if dtype == np.uint8 else rgb >> 8)[:, :, 2::-1]
    assert np.array_equal(bgr_from(rgb, color="rgb"), expected)
    assert np.array_equal(bgr_from(rgb[1:4, 2:6], color="rgb"), expected[1:4, 2:6])


@pytest.mark.parametrize("bits", range(8, 17))
def test_the_upper_eight_bits_of_each_depth_are_kept(bits):
    values = np.arange(2**bits, dtype=np.uint16)[None]
    assert np.array_equal(bgr_from(values, bits=bits)[0, :, 1], np.arange(2**bits) * 256 // 2**bits)


def test_a_value_of_more_bits_is_rejected():
    with pytest.raises(InputError, match=r"12 bits, 0 to 4095, got 4096; give bits=13"):
        bgr_from(np.full((2, 2), 4096, np.uint16), bits=12)


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 12), (np.uint16, 7), (np.uint16, 17), (np.uint16, "12")])
def test_bits_must_suit_the_dtype(dtype, bits):
    with pytest.raises(UsageError, match="bits is"):
        bgr_from(np.zeros((2, 2), dtype), bits=bits)


def test_the_layout_of_a_frame_is_known():
    frame = Frame(np.zeros((2, 2, 3), np.uint8))
    assert frame_from(frame, 7) is frame
    for layout in ({"color": "rgb"}, {"bits": 12}):
        with pytest.raises(UsageError, match="a Frame is uint8 BGR"):
            frame_from(frame, **layout)
    with pytest.raises(UnknownNameError, match="unknown color 'gbr'"):
        bgr_from(frame.pixels, color="gbr")


def test_what_is_no_array_is_named():
    from PIL import Image

    for value, name in ((None, "NoneType"), ("frame.png", "str"), (Image.new("RGB", (4, 4)), "Pillow image")):
        with pytest.raises(InputError, match=name):
            bgr_from(value)
    with pytest.raises(InputError, match="list"):
        Frame([[0, 0, 0]])


@pytest.mark.parametrize("shape", [(0, 5, 3), (4,), (4, 6, 2), (2, 4, 6, 3)])
def test_other_shapes_are_rejected(shape):
    with pytest.raises(InputError, match=r"expected an image"):
        bgr_from(np.zeros(shape, np.uint8))


def test_other_dtypes_are_rejected():
    with pytest.raises(InputError, match="float32"):
        bgr_from(np.zeros((4, 6, 3), np.float32))
    for shape in ((4, 6), (0, 6, 3)):
        with pytest.raises(InputError, match="uint8 BGR"):
            Frame(np.zeros(shape, np.uint8))
