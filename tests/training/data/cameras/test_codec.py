"""Codecs of whole frames: quality, kept frames, palettes."""

import cv2
import numpy as np
import pytest
from facesr_edge.training.data.cameras.background import synthetic
from facesr_edge.training.data.cameras.chain import X264, X265
from facesr_edge.training.data.cameras.codec import Codec, recode

GOOD_AND_BAD = [
    (Codec("h264", 18, options=X264), Codec("h264", 38, options=X264)),
    (Codec("h264", 0, 2000, options=X264), Codec("h264", 0, 100, options=X264)),
    (Codec("h265", 18, options=X265), Codec("h265", 38, options=X265)),
    (Codec("mjpeg", 2), Codec("mjpeg", 20)),
    (Codec("jpeg", 95), Codec("jpeg", 30)),
    (Codec("gif", 256), Codec("gif", 16)),
    (Codec("h264", 18, options=X264), Codec("h264", 18, options=X264, accurate=False)),
    (Codec("jpeg", 80, full_chroma=True), Codec("jpeg", 80)),
]


@pytest.fixture(scope="module")
def frames():
    """Five frames of a scene that moves by two pixels per frame, (5, 96, 160, 3)."""
    scene = cv2.GaussianBlur(synthetic(np.random.default_rng(0))[:96, :180], (0, 0), 1)
    return np.stack([scene[:, 2 * t : 2 * t + 160] for t in range(5)])


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


@pytest.mark.parametrize(("good", "bad"), GOOD_AND_BAD)
def test_worse_settings_lose_more_and_kept_frames_are_those_asked_for(frames, good, bad):
    keep = (1, 4)
    better, worse = (recode(frames, codec, keep) for codec in (good, bad))
    assert better.shape == worse.shape == (2, 96, 160, 3) and better.dtype == np.uint8
    for number, time in enumerate(keep):
        errors = [psnr(better[number], frame) for frame in frames]
        assert int(np.argmax(errors)) == time and errors[time] > 24
        assert errors[time] > psnr(worse[number], frames[time])


def test_a_gif_has_no_more_colors_than_its_palette(frames):
    (coded,) = recode(frames, Codec("gif", 32), [0])
    assert len(np.unique(coded.reshape(-1, 3), axis=0)) <= 32


def test_video_frames_are_predicted_from_those_before_them_and_pictures_are_not(frames):
    other = frames.copy()
    other[:2] = 128
    predicted, pictures = (
        [recode(each, codec, [4]) for each in (frames, other)]
        for codec in (Codec("h264", 30, options=X264), Codec("mjpeg", 6))
    )
    assert not np.array_equal(*predicted) and np.array_equal(*pictures)
