"""Degradations: grid, mean and seed are kept, and every codec is used."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.training.data import degrade
from facesr_edge.training.data.degrade import DEGRADATIONS, bicubic, camera
from facesr_edge.training.data.faces import FacePairs
from facesr_edge.training.recipes import idrn


@pytest.fixture(scope="module")
def faces():
    return np.stack(sample_faces())[:, :96, :96]


def error(small, faces, scale=4):
    """(N,) mean square difference from bicubic, in squared levels."""
    return ((small.astype(float) - low_resolution(faces, scale)) ** 2).mean((1, 2, 3))


@pytest.mark.parametrize("name", ["bicubic", "camera", "recorded", "frame", "h264-28"])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_degradations_downsample_and_are_reproducible(faces, name, scale):
    small, again, other = (DEGRADATIONS[name](faces, scale, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert small.shape == (8, 96 // scale, 96 // scale, 3) and small.dtype == np.uint8
    np.testing.assert_array_equal(small, again)
    assert np.array_equal(small, other) == (name in ("bicubic", "frame"))


def test_bicubic_equals_low_resolution(faces):
    np.testing.assert_array_equal(bicubic(faces, 4, np.random.default_rng(0)), low_resolution(faces, 4))


def test_a_tenth_of_the_faces_is_clean_and_the_others_range_from_nearly_clean_to_bad(faces):
    errors = np.concatenate([error(camera(faces, 4, np.random.default_rng(seed)), faces) for seed in range(40)])
    assert 0.06 < np.mean(errors == 0) < 0.14
    degraded = np.sqrt(errors[errors > 0])
    assert np.quantile(degraded, 0.1) < 9 and np.quantile(degraded, 0.9) > 14  # levels of 255


def test_the_pixel_grid_is_that_of_bicubic(faces):
    """Phase correlation with bicubic over many draws: the median shift is below 0.03 pixels."""
    shifts = []
    for seed in range(40):
        for small, clean in zip(camera(faces, 4, np.random.default_rng(seed)), low_resolution(faces, 4), strict=True):
            gray, reference = (cv2.cvtColor(x, cv2.COLOR_BGR2GRAY).astype(np.float32) for x in (small, clean))
            shifts.append(cv2.phaseCorrelate(reference, gray, cv2.createHanningWindow(gray.shape[::-1], cv2.CV_32F))[0])
    assert np.abs(np.median(shifts, 0)).max() < 0.03
    assert np.quantile(np.abs(shifts), 0.8) < 0.25


def test_brightness_and_tint_are_kept(faces):
    change = [
        (camera(faces, 4, np.random.default_rng(seed)).astype(float) - low_resolution(faces, 4)).mean((1, 2))
        for seed in range(40)
    ]
    assert np.abs(np.mean(change, (0, 1))).max() < 1  # levels of 255, per channel


@pytest.mark.parametrize("codec", degrade.CODEC_PROBABILITIES)
def test_each_codec_is_used(faces, codec, monkeypatch):
    calls = []
    for name in ("h264", "jpeg"):
        real = getattr(degrade, name)
        monkeypatch.setattr(degrade, name, lambda *a, real=real, name=name: calls.append(name) or real(*a))
    monkeypatch.setattr(degrade, "CODEC_PROBABILITIES", {codec: 1.0})
    camera(faces, 4, np.random.default_rng(0))
    assert set(calls) == {codec} - {"none"}


def test_more_faces_than_one_video_holds_are_degraded(faces):
    many = np.concatenate([faces] * 3)
    small = camera(many, 4, np.random.default_rng(1))
    assert small.shape == (24, 24, 24, 3) and np.median(np.sqrt(error(small, many))) < 20


def test_degraded_inputs_are_paired_with_clean_targets(faces, tmp_path):
    cv2.imwrite(str(tmp_path / "face.png"), faces[0])
    recipe = replace(idrn.cpu(depth=1, width=8), degradation="camera")
    batch = FacePairs(recipe, tmp_path, None).batch(np.random.default_rng(0))
    assert batch.lr.shape == (8, 24, 24, 3) and batch.hr.shape == (8, 96, 96, 3)
    hr, lr = batch.hr.numpy(), batch.lr.numpy()
    assert all(np.array_equal(face, faces[0]) or np.array_equal(face, faces[0, :, ::-1]) for face in hr)
    assert np.mean(error(lr, hr) > 1) >= 0.5
