"""Codecs, sensor noise, blur and downsampling: errors grow with the strength; grid, brightness and tint are kept."""

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.training.data.codecs import h264, jpeg
from facesr_edge.training.data.optics import (
    DOWNSCALE_FILTERS,
    blur,
    disk_kernel,
    downscale,
    gaussian_kernel,
    random_blur_kernel,
    sensor_noise,
)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def small():
    """(8, 32, 32, 3): faces downsampled by bicubic."""
    return low_resolution(np.stack(sample_faces()), 4)


@pytest.fixture(scope="module")
def codecs(small):
    """Codec -> the faces after compression, from worst to best quality."""
    clip = np.stack([np.roll(small, shift, 2) for shift in (2, 1, 0)])
    return {
        "jpeg": [np.stack([jpeg(face, q, rng(i)) for i, face in enumerate(small)]) for q in (20, 50, 80, 100)],
        "h264": [h264(clip, crf, rng()) for crf in (44, 34, 24, 2)],
    }


def rms(error):
    return float(np.sqrt((np.asarray(error, float) ** 2).mean()))


@pytest.mark.parametrize("name", ["jpeg", "h264"])
def test_the_error_of_a_codec_grows_with_its_strength(codecs, small, name):
    errors = [rms(decoded.astype(float) - small) for decoded in codecs[name]]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 2 * errors[2] and errors[-1] < 3.5  # chroma is subsampled even at the best quality


@pytest.mark.parametrize("name", ["jpeg", "h264"])
def test_a_codec_keeps_brightness_and_tint(codecs, small, name):
    for decoded in codecs[name][1:]:  # not the worst: the suit is orange, and codecs drop weak chroma
        assert np.abs((decoded.astype(float) - small).mean((0, 1, 2))).max() < 2


def test_jpeg_has_block_artifacts():
    """A ramp becomes steps of the block size: most of the jumps are at one phase in eight."""
    ramp = np.repeat(np.linspace(60, 90, 64).astype(np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    decoded = jpeg(ramp, 5, rng(1)).astype(float)[..., 1].mean(0)
    jumps = np.abs(np.diff(decoded))
    by_phase = [jumps[phase::8].mean() for phase in range(8)]
    assert max(by_phase) > 5 * np.median(by_phase)


def test_the_position_of_a_face_on_the_block_grid_is_random(small):
    face = small[0]
    assert len({jpeg(face, 40, rng(seed)).tobytes() for seed in range(8)}) > 4
    assert len({h264(face[None, None], 34, rng(seed)).tobytes() for seed in range(8)}) > 4


def test_frames_are_predicted_from_earlier_frames(small):
    """The last frame depends on the frames before it, and encoding is deterministic."""
    still = np.repeat(small[None], 4, 0)
    inverted = still.copy()
    inverted[:-1] = 255 - inverted[:-1]
    assert not np.array_equal(h264(still, 36, rng()), h264(inverted, 36, rng()))
    np.testing.assert_array_equal(h264(still, 36, rng()), h264(still, 36, rng()))


@pytest.mark.parametrize("shape", [(1, 1, 8, 8, 3), (2, 3, 24, 20, 3), (4, 9, 33, 47, 3)])
def test_clips_of_any_number_and_size_keep_their_order(shape):
    gray = np.linspace(20, 235, shape[1])[None, :, None, None, None] + np.zeros(shape)
    last = h264(gray.astype(np.uint8), 20, rng())
    assert last.shape == shape[1:]
    np.testing.assert_allclose(last.mean((1, 2, 3)), gray[0].mean((1, 2, 3)), atol=1.5)


def test_noise_has_the_given_level_and_is_stronger_in_the_dark():
    patches = np.stack([np.full((96, 96, 3), gray, np.float32) for gray in (12, 120, 120, 120, 220)])
    noise = np.array([4, 0, 4, 8, 4])
    error = sensor_noise(patches, noise, rng()) - patches
    dark, none, some, more, bright = (rms(part - part.mean()) for part in error)
    assert none == 0 and dark > 1.2 * some
    assert more == pytest.approx(2 * some, rel=0.15) and bright == pytest.approx(some, rel=0.15)
    assert 2.5 < some < 4  # demosaicing interpolates from one site in two or four, which reduces the noise
    assert np.abs(error[1:].mean((1, 2))).max() < 0.3


def test_noise_is_spatially_correlated_in_red_and_blue_more_than_in_green():
    error = sensor_noise(np.full((4, 64, 64, 3), 128, np.float32), np.full(4, 8.0), rng()) - 128.0
    blue, green, red = (
        (error[:, :, 1:, c] * error[:, :, :-1, c]).mean() / (error[..., c] ** 2).mean() for c in range(3)
    )
    assert min(blue, red) > 0.55 and 0.3 < green < 0.5  # 2/3 and 2/5 by the interpolation weights


@pytest.mark.parametrize("filter_name", DOWNSCALE_FILTERS)
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_every_filter_keeps_the_grid_and_the_mean(filter_name, scale):
    """Pixel x of a linear ramp has the value at scale·x + (scale - 1) / 2."""
    y, x = np.mgrid[: 16 * scale, : 16 * scale].astype(np.float32)
    small = downscale(np.stack((y, x, np.full_like(x, 7)), 2), scale, filter_name)
    position = scale * np.arange(16) + (scale - 1) / 2
    inner = slice(3, -3)  # filters are one-sided at the border
    np.testing.assert_allclose(small[inner, 5, 0], position[inner], atol=1e-2)
    np.testing.assert_allclose(small[5, inner, 1], position[inner], atol=1e-2)
    np.testing.assert_allclose(small[..., 2], 7, atol=1e-5)


def test_the_bicubic_filter_equals_low_resolution(small):
    faces = np.stack(sample_faces())
    actual = np.stack([downscale(face.astype(np.float32), 4, "bicubic") for face in faces])
    np.testing.assert_allclose(np.clip(actual, 0, 255), small, atol=0.501)


@pytest.mark.parametrize(
    ("kernel", "along", "across"),
    [
        (gaussian_kernel(2.0, 2.0, 0), 2.0, 2.0),
        (gaussian_kernel(3.0, 1.0, 0.7), 3.0, 1.0),
        (gaussian_kernel(0, 0, 0), 0, 0),
        (disk_kernel(0), 0, 0),
        (disk_kernel(4.0), 2.0, 2.0),  # the standard deviation of a disk is half its radius
    ],
)
def test_blur_kernels_have_the_given_width_and_are_centered(kernel, along, across):
    side = len(kernel)
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-7)
    y, x = np.mgrid[:side, :side] - side // 2
    moments = [[float((kernel * a * b).sum()) for a in (x, y)] for b in (x, y)]
    low, high = np.sqrt(np.clip(np.linalg.eigvalsh(moments), 0, None))
    assert (high, low) == (pytest.approx(along, rel=0.06, abs=0.01), pytest.approx(across, rel=0.06, abs=0.01))


def test_random_blur_has_every_kind_and_vanishes_at_severity_0():
    generator = rng()
    widths = []
    for _ in range(200):
        kernel = random_blur_kernel(4, 1.0, generator)
        y, x = np.mgrid[: len(kernel), : len(kernel)] - len(kernel) // 2
        values = np.linalg.eigvalsh([[float((kernel * a * b).sum()) for a in (x, y)] for b in (x, y)])
        widths.append(np.sqrt(np.clip(values, 0.01, None)))
    across, along = np.array(widths).T
    assert 0.3 < np.mean(along < 1.1 * across) < 0.6  # isotropic and disks
    assert np.mean(along > 2 * across) > 0.2  # motion and anisotropic
    assert 4 < along.max() < 7 and 1 < along.min() < 2  # a bad camera always blurs
    face = sample_faces()[0]
    np.testing.assert_allclose(blur(face, random_blur_kernel(4, 0.0, generator)), face, atol=1e-3)


def test_blur_of_a_uniform_picture_is_uniform_up_to_its_border():
    flat = np.full((24, 30, 3), 90, np.uint8)
    np.testing.assert_allclose(blur(flat, gaussian_kernel(4, 2, 1)), 90, atol=1e-3)
    assert cv2.Laplacian(blur(flat, disk_kernel(3)), cv2.CV_32F).max() < 1e-3
