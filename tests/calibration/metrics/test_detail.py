"""Invented detail of known mixtures: parts of the truth, noise, blur, excess contrast, and enhanced codec blocks."""

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.metrics.detail import invented_detail
from facesr_edge.calibration.metrics.evaluate import lr_hr_pairs, upscale_bicubic


@pytest.fixture(scope="module")
def pair():
    """Ground truth and bicubic upscaling of three faces, (3, 128, 128, 3)."""
    lr, hr = lr_hr_pairs(sample_faces()[:3], 4)
    return hr, upscale_bicubic(lr, 4)


def pixels(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def with_detail(pair, amount, noise=0.0):
    """Bicubic faces with an amount of the missing detail, and noise of a standard deviation (an array, or a number)."""
    hr, bicubic = (images.astype(np.float64) for images in pair)
    random = np.random.default_rng(0).normal(0, 1, (*hr.shape[:3], 1))  # gray, as luma is measured
    return pixels(bicubic + amount * (hr - bicubic) + noise * random)


def blurred(images, sigma):
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in images])


def share(sr, pair):
    return invented_detail(sr, *pair)


def test_bicubic_and_ground_truth_have_none(pair):
    hr, bicubic = pair
    assert (share(bicubic, pair) == 0).all() and share(hr, pair) == pytest.approx([0] * 3, abs=1e-6)


@pytest.mark.parametrize("amount", [0.3, 0.5, 0.8])
def test_part_of_the_missing_detail_is_not_invented(pair, amount):
    assert (share(with_detail(pair, amount), pair) < 0.02).all()


@pytest.mark.parametrize("noise", [3, 10, 25])
def test_noise_is_invented_however_much_it_is(pair, noise):
    assert (share(with_detail(pair, 0, noise), pair) > 0.97).all()


def test_detail_of_the_wrong_sign_or_of_another_place_is_invented(pair):
    hr, bicubic = (images.astype(np.float64) for images in pair)
    assert (share(with_detail(pair, -0.5), pair) > 0.97).all()
    elsewhere = pixels(bicubic + np.roll(hr - bicubic, 16, axis=2))
    assert (share(elsewhere, pair) > 0.9).all()


def test_contrast_beyond_the_truth_is_invented(pair):
    assert share(with_detail(pair, 1.5), pair) == pytest.approx([1 / 9] * 3, abs=0.02)  # (0.5 / 1.5)²


@pytest.mark.parametrize("sigma", [1, 2, 3])
def test_blur_is_not_rewarded(pair, sigma):
    _, bicubic = pair
    assert (share(blurred(bicubic, sigma), pair) > 0.9).all()
    detail = with_detail(pair, 0.7)
    assert (share(blurred(detail, sigma), pair) >= share(detail, pair)).all()


def test_share_grows_with_the_noise_and_does_not_depend_on_how_much_is_added(pair):
    steps = np.stack([share(with_detail(pair, 0.6, noise), pair) for noise in (0, 2, 4, 8, 16)])
    assert (np.diff(steps, axis=0) > 0.02).all() and (steps <= 1).all()
    assert share(with_detail(pair, 0.3, 4), pair) == pytest.approx(share(with_detail(pair, 0.6, 8), pair), abs=0.03)


def test_right_detail_does_not_excuse_noise_beside_it(pair):
    noise = np.zeros((1, 128, 128, 1))
    noise[:, :, 96:] = 12
    amount = np.where(noise > 0, 0, 1.0)
    added = [(with_detail(pair, *one).astype(float) - pair[1]) ** 2 for one in ((amount, noise), (0, noise))]
    both, wrong = (one.sum((1, 2, 3)) for one in added)
    assert share(with_detail(pair, amount, noise), pair) == pytest.approx(wrong / both, rel=0.25)


def test_right_coarse_detail_does_not_excuse_fine_noise(pair):
    hr, bicubic = (images.astype(np.float64) for images in pair)
    coarse = blurred(hr - bicubic, 1.5)
    clean, noisy = (pixels(bicubic + coarse + noise) for noise in (0, with_detail(pair, 0, 6) - bicubic))
    assert (share(clean, pair) < 0.15).all() and (share(noisy, pair) > share(clean, pair) + 0.3).all()


def test_enhanced_codec_blocks_count_as_invented(pair):
    lr, hr = lr_hr_pairs(sample_faces()[:3], 4)
    coded = np.stack([cv2.imdecode(cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 20])[1], 1) for face in lr])
    shares = []
    for faces in (lr, coded):
        bicubic = upscale_bicubic(faces, 4)
        sharpened = pixels(bicubic + 1.0 * (bicubic - blurred(bicubic, 2.0).astype(float)))
        shares.append(invented_detail(sharpened, hr, bicubic))
    assert (shares[1] > shares[0] + 0.03).all()


def test_flat_faces_and_rounding_have_none():
    gray = np.full((2, 64, 64, 3), 100, np.uint8)
    rounded = gray + np.random.default_rng(0).integers(0, 2, gray.shape, np.uint8)
    assert (invented_detail(gray, gray, gray) == 0).all()
    assert (invented_detail(rounded, gray, gray) < 0.3).all()
