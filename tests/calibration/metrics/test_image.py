"""PSNR, SSIM, VIF and luma, compared with scikit-image, reference values and their definitions."""

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.metrics.image import MAX_DB, luma, mean_db, psnr, psnr_y, ssim, ssim_y, vif_y
from scipy.signal import convolve2d
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


@pytest.fixture(scope="module")
def faces():
    return np.stack(sample_faces()[:4])


@pytest.fixture(scope="module")
def pair(faces):
    """(4, 128, 128, 3) faces, and the same with increasing blur and noise."""
    rng = np.random.default_rng(0)
    degraded = [
        np.clip(cv2.GaussianBlur(face, (0, 0), n + 1) + rng.normal(0, 3 * n, face.shape), 0, 255).astype(np.uint8)
        for n, face in enumerate(faces)
    ]
    return faces, np.stack(degraded)


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


def test_luma_agrees_with_scikit_image(faces):
    for face in faces:
        assert np.abs(luma(face) - rgb2ycbcr(face[..., ::-1])[..., 0]).max() < 0.01


def test_psnr_agrees_with_scikit_image(pair):
    expected = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(*pair, strict=True)]
    assert psnr(*pair) == pytest.approx(expected, abs=1e-9)
    ys = [[rgb2ycbcr(face[..., ::-1])[..., 0] for face in side] for side in pair]
    expected = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(*ys, strict=True)]
    assert psnr_y(*pair) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(("error", "psnr_db"), [(1, 48.1308), (2, 42.1102), (255, 0)])
def test_psnr_of_a_known_error(error, psnr_db):
    black = np.zeros((2, 8, 8, 3), np.uint8)
    assert psnr(black, black + np.uint8(error)) == pytest.approx([psnr_db] * 2, abs=1e-4)
    assert psnr(black + np.uint8(error), black) == pytest.approx([psnr_db] * 2, abs=1e-4)


def test_equal_images_have_infinite_psnr_and_count_as_99_db_in_a_mean():
    black = np.zeros((2, 8, 8, 3), np.uint8)
    gray = black.copy()
    gray[1] += 1
    assert psnr(black, gray)[0] == np.inf
    assert mean_db(psnr(black, gray)) == pytest.approx((MAX_DB + 48.1308) / 2, abs=1e-4)


def test_ssim_agrees_with_its_definition(pair):
    def blur(x):
        return cv2.GaussianBlur(x, (11, 11), 1.5)

    expected = []
    for a, b in zip(luma(pair[0]), luma(pair[1]), strict=True):
        mean_a, mean_b = blur(a), blur(b)
        var_a, var_b, cov = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        local = (2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
        expected.append(local[5:-5, 5:-5].mean())
    assert ssim_y(*pair) == pytest.approx(expected, abs=1e-4)


def test_ssim_agrees_with_scikit_image(pair):
    options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [structural_similarity(a, b, channel_axis=2, **options) for a, b in zip(*pair, strict=True)]
    assert ssim(*pair) == pytest.approx(expected, abs=1e-9)
    ys = zip(*map(luma, pair), strict=True)
    assert ssim_y(*pair) == pytest.approx([structural_similarity(a, b, **options) for a, b in ys], abs=1e-9)


def test_psnr_and_ssim_fall_with_degradation(pair):
    assert (np.diff(psnr_y(*pair)) < 0).all() and (np.diff(ssim_y(*pair)) < 0).all()


def test_ssim_of_rgb_is_sensitive_to_chroma_errors(pair):
    tinted = pair[0].copy()
    tinted[..., 0] = pair[1][..., 0]
    assert (ssim(tinted, pair[0])[1:] < ssim_y(tinted, pair[0])[1:]).all()


@pytest.mark.parametrize("metric", [ssim, ssim_y, vif_y])
def test_equal_images_have_similarity_one(faces, metric):
    assert metric(faces, faces) == pytest.approx([1.0] * 4, abs=1e-6)


def noisy(faces, deviation):
    noise = np.random.default_rng(0).normal(0, deviation, faces.shape)
    return np.clip(faces + noise, 0, 255).astype(np.uint8)


def blurred(faces, sigma):
    return np.stack([cv2.GaussianBlur(face, (0, 0), sigma) for face in faces])


def vif_by_definition(sr, hr):
    """VIF with two-dimensional windows."""
    preserved = total = 0.0
    for size in (17, 9, 5, 3):
        x = np.arange(size) - size // 2
        window = np.exp(-(x[:, None] ** 2 + x[None] ** 2) / (2 * (size / 5) ** 2))
        window /= window.sum()

        def mean(plane, window=window):
            return convolve2d(plane, window, mode="valid")

        if size < 17:
            sr, hr = mean(sr)[::2, ::2], mean(hr)[::2, ::2]
        covariance = mean(sr * hr) - mean(sr) * mean(hr)
        var_sr, var_hr = mean(sr**2) - mean(sr) ** 2, mean(hr**2) - mean(hr) ** 2
        gain = np.maximum(covariance / var_hr, 0)
        preserved += np.log(1 + gain**2 * var_hr / (var_sr - gain * covariance + 2)).sum()
        total += np.log(1 + var_hr / 2).sum()
    return preserved / total


@pytest.mark.parametrize("degrade", [blurred, noisy])
def test_vif_falls_with_degradation(faces, degrade):
    steps = np.stack([vif_y(degrade(faces, amount), faces) for amount in (1, 2, 4, 8)])
    assert (np.diff(steps, axis=0) < -0.01).all() and (steps > 0).all() and (steps < 1).all()


def test_vif_of_added_contrast_exceeds_one(faces):
    low_contrast = (faces // 2).astype(np.uint8)
    assert (vif_y(low_contrast * 2, low_contrast) > 1.1).all()


def test_vif_agrees_with_its_definition():
    hr = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    sr = noisy(blurred(hr, 0.7), 9)
    planes = [images @ (np.array([24.966, 128.553, 65.481]) / 255) + 16 for images in (sr, hr)]
    assert vif_y(sr, hr) == pytest.approx([vif_by_definition(*p) for p in zip(*planes, strict=True)], abs=1e-6)


def test_vif_agrees_with_torchmetrics_and_sewar(faces):
    """Values of torchmetrics 1.9.0 and sewar 0.4.10 on the luma of the same images."""
    sr = np.stack([cv2.GaussianBlur(face, (0, 0), n + 1) for n, face in enumerate(faces)])
    assert vif_y(sr, faces)[:2] == pytest.approx([0.57632344, 0.39701835], abs=2e-3)


def test_vif_of_a_flat_ground_truth_is_one(faces):
    assert vif_y(faces[:1], np.full_like(faces[:1], 90)) == [1.0]
