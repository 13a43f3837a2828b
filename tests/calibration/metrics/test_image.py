"""PSNR, SSIM and luma against scikit-image and against their definitions."""

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.metrics.image import MAX_DB, luma, mean_db, psnr, psnr_y, ssim, ssim_y
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


@pytest.fixture(scope="module")
def pair():
    """(4, 128, 128, 3) faces, and the same blurred and noisy, each worse than the one before."""
    faces = np.stack(sample_faces()[:4])
    rng = np.random.default_rng(0)
    worse = [
        np.clip(cv2.GaussianBlur(face, (0, 0), n + 1) + rng.normal(0, 3 * n, face.shape), 0, 255).astype(np.uint8)
        for n, face in enumerate(faces)
    ]
    return faces, np.stack(worse)


@pytest.mark.parametrize(
    ("bgr", "y"),
    [
        ((0, 0, 0), 16),
        ((255, 255, 255), 235),
        ((128, 128, 128), 16 + 219 * 128 / 255),
        ((255, 0, 0), 16 + 24.966),
        ((0, 255, 0), 16 + 128.553),
        ((0, 0, 255), 16 + 65.481),
    ],
)
def test_luma_is_in_studio_range(bgr, y):
    assert luma(np.array([[bgr]], np.uint8))[0, 0] == pytest.approx(y, abs=1e-3)


def test_luma_is_that_of_scikit_image(pair):
    for face in pair[0]:
        assert np.abs(luma(face) - rgb2ycbcr(face[..., ::-1])[..., 0]).max() < 0.01


def test_psnr_is_that_of_scikit_image(pair):
    expected = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(*pair, strict=True)]
    assert psnr(*pair) == pytest.approx(expected, abs=1e-9)
    ys = [[rgb2ycbcr(face[..., ::-1])[..., 0] for face in side] for side in pair]
    expected = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(*ys, strict=True)]
    assert psnr_y(*pair) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(("error", "decibels"), [(1, 48.1308), (2, 42.1102), (255, 0)])
def test_psnr_of_a_known_error(error, decibels):
    black = np.zeros((2, 8, 8, 3), np.uint8)
    assert psnr(black, black + np.uint8(error)) == pytest.approx([decibels] * 2, abs=1e-4)
    assert psnr(black + np.uint8(error), black) == pytest.approx([decibels] * 2, abs=1e-4)


def test_equal_pictures_are_infinitely_close_and_count_99_db_in_a_mean():
    black = np.zeros((2, 8, 8, 3), np.uint8)
    grey = black.copy()
    grey[1] += 1
    assert psnr(black, grey)[0] == np.inf
    assert mean_db(psnr(black, grey)) == pytest.approx((MAX_DB + 48.1308) / 2, abs=1e-4)


def test_ssim_follows_its_definition(pair):
    def blur(x):
        return cv2.GaussianBlur(x, (11, 11), 1.5)

    expected = []
    for a, b in zip(luma(pair[0]), luma(pair[1]), strict=True):
        mean_a, mean_b = blur(a), blur(b)
        var_a, var_b, both = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        map_ = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
        expected.append(map_[5:-5, 5:-5].mean())
    assert ssim_y(*pair) == pytest.approx(expected, abs=1e-4)
    assert ssim_y(pair[0], pair[0]) == pytest.approx([1.0] * 4)


def test_worse_pictures_score_less(pair):
    assert (np.diff(psnr_y(*pair)) < 0).all() and (np.diff(ssim_y(*pair)) < 0).all()


def test_ssim_is_that_of_scikit_image(pair):
    options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [structural_similarity(a, b, channel_axis=2, **options) for a, b in zip(*pair, strict=True)]
    assert ssim(*pair) == pytest.approx(expected, abs=1e-9)
    ys = zip(*map(luma, pair), strict=True)
    assert ssim_y(*pair) == pytest.approx([structural_similarity(a, b, **options) for a, b in ys], abs=1e-9)


def test_ssim_of_colours_sees_what_the_luma_hides(pair):
    tinted = pair[0].copy()
    tinted[..., 0] = pair[1][..., 0]
    assert (ssim(tinted, pair[0])[1:] < ssim_y(tinted, pair[0])[1:]).all()
    assert ssim(pair[0], pair[0]) == pytest.approx([1.0] * 4)
