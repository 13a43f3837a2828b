"""Bicubic resampling in numpy and torch against torch and Pillow."""

import numpy as np
import pytest
import torch
from facesr_edge.networks.layers.bicubic import bicubic_matrix, resize_batch
from facesr_edge.networks.layers.resample import enlarge, resample
from PIL import Image
from torch.nn import functional as F

SIZES = [(128, 64), (126, 42), (128, 32), (12, 3), (64, 37), (32, 128), (32, 64), (42, 126), (7, 19), (5, 5)]


@pytest.fixture(scope="module")
def face(astronaut):
    """(126, 96, 3) float32; not square, so that swapped axes are detected."""
    return astronaut[50:176, 170:266].astype(np.float32)


def with_pillow(image, height, width):
    return np.stack(
        [
            np.asarray(Image.fromarray(image[..., c], "F").resize((width, height), Image.Resampling.BICUBIC))
            for c in range(image.shape[2])
        ],
        axis=-1,
    )


def with_torch(image, height, width):
    x = torch.from_numpy(image).permute(2, 0, 1)[None]
    y = F.interpolate(x, (height, width), mode="bicubic", align_corners=False, antialias=True)
    return y[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(("n_in", "n_out"), SIZES)
def test_each_row_sums_to_one(n_in, n_out):
    matrix = bicubic_matrix(n_in, n_out)
    assert matrix.shape == (n_out, n_in) and matrix.dtype == np.float32
    assert np.abs(matrix.sum(1) - 1).max() < 1e-6


@pytest.mark.parametrize(("n_in", "n_out"), SIZES)
def test_numpy_and_torch_agree(n_in, n_out):
    matrix = bicubic_matrix(n_in, n_out, torch)
    assert isinstance(matrix, torch.Tensor)
    assert np.abs(matrix.numpy() - bicubic_matrix(n_in, n_out)).max() < 1e-6


@pytest.mark.parametrize("height_width", [(63, 48), (42, 32), (31, 24), (50, 77), (126, 96), (1, 1)])
def test_downsampling_equals_torch_and_pillow(face, height_width):
    actual = resize_batch(face[None], *height_width)[0]
    assert actual.shape == (*height_width, 3)
    assert np.abs(actual - with_torch(face, *height_width)).max() < 2e-3
    assert np.abs(actual - with_pillow(face, *height_width)).max() < 2e-3


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_upsampling_equals_torch_and_pillow(face, scale):
    small = np.ascontiguousarray(face[30:62, 20:44])  # (32, 24, 3)
    actual = resize_batch(small[None], 32 * scale, 24 * scale)[0]
    assert np.abs(actual - with_torch(small, 32 * scale, 24 * scale)).max() < 2e-3
    assert np.abs(actual - with_pillow(small, 32 * scale, 24 * scale)).max() < 2e-3


@pytest.mark.parametrize("size", [(63, 48), (126, 96), (252, 192)])
def test_a_constant_stays_constant(size):
    assert np.abs(resize_batch(np.full((1, 126, 96, 3), 77, np.uint8), *size) - 77).max() < 1e-3


def test_the_same_size_is_the_same_image(face):
    assert np.abs(resize_batch(face[None], 126, 96)[0] - face).max() < 1e-3


def test_images_and_channels_are_independent(face):
    batch = np.stack([face, 255 - face])
    together = resize_batch(batch, 42, 32)
    for n in range(2):
        for c in range(3):
            alone = resize_batch(batch[n : n + 1, :, :, c : c + 1], 42, 32)
            assert np.abs(together[n, :, :, c] - alone[0, :, :, 0]).max() < 1e-3


def test_uint8_pixels_are_resampled_like_floats(face):
    assert (resize_batch(face[None].astype(np.uint8), 42, 32) == resize_batch(face[None], 42, 32)).all()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_torch_and_numpy_resampling_agree(face, scale):
    x = torch.from_numpy(face).permute(2, 0, 1)[None]
    downsampled = resample(x, 126 // scale, 96 // scale)[0].permute(1, 2, 0).numpy()
    assert np.abs(downsampled - resize_batch(face[None], 126 // scale, 96 // scale)[0]).max() < 1e-3
    upsampled = enlarge(x, scale)[0].permute(1, 2, 0).numpy()
    assert np.abs(upsampled - resize_batch(face[None], 126 * scale, 96 * scale)[0]).max() < 1e-3


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_downsampling_an_upsampled_image_nearly_restores_it(face, scale):
    smooth = resize_batch(face[None], 32, 32)
    again = resize_batch(resize_batch(smooth, 32 * scale, 32 * scale), 32, 32)
    assert np.abs(again - smooth).mean() < 4
