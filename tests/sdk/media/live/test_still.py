"""Still pictures, re-encoded by real encoders, and quiet scenes with the noise of a sensor."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import astronaut
from facesr_edge.sdk.media.live.still import PictureWatch, pixel_rows, plane_rows

SIZE_WH, FPS = (320, 240), 25
ENCODERS = {
    "crf 20": ("libx264", {"tune": "zerolatency", "preset": "veryfast", "crf": "20", "g": "25"}),
    "crf 30": ("libx264", {"tune": "zerolatency", "preset": "ultrafast", "crf": "30", "g": "25"}),
    "reordered": ("libx264", {"preset": "veryfast", "crf": "26", "g": "50"}),
    "mjpeg": ("mjpeg", {"q": "5"}),
}


def scene(flat: bool) -> np.ndarray:
    image = cv2.resize(astronaut()[60:80, 60:80] if flat else astronaut(), SIZE_WH, interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420))


def noisy(picture: np.ndarray, sigma: float, count: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(3)
    for _ in range(count):
        noise = random.standard_normal(picture.shape, dtype=np.float32) * sigma
        yield np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def transcoded(pictures: Iterator[np.ndarray], codec: str, options: dict[str, str]) -> Iterator[av.VideoFrame]:
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height = SIZE_WH
    encoder.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    encoder.framerate, encoder.time_base, encoder.options = Fraction(FPS), Fraction(1, FPS), options
    decoder = av.CodecContext.create("mjpeg" if codec == "mjpeg" else "h264", "r")

    def packets() -> Iterator[av.Packet]:
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "yuv420p").reformat(format=encoder.pix_fmt)
            frame.pts = index
            yield from encoder.encode(frame)
        yield from encoder.encode(None)

    for packet in packets():
        yield from decoder.decode(av.Packet(bytes(packet)))
    yield from decoder.decode(None)


def unchanged_s(frames: Iterator[av.VideoFrame]) -> list[float]:
    """Time since the last change at each frame."""
    watch, ages_s = PictureWatch(), []
    for index, frame in enumerate(frames):
        watch.see(plane_rows(frame), bool(frame.key_frame), index / FPS)
        ages_s.append(index / FPS - (watch.changed_s or 0.0))
    return ages_s


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("flat", [False, True], ids=["textured", "flat"])
def test_still_picture_that_is_encoded_again_is_unchanged(encoder: str, flat: bool) -> None:
    """It becomes still after 2 s of noise; the encoder takes some key frames to settle."""
    still = scene(flat)
    pictures = [*noisy(still, 1.5, 50), *[still] * 220]
    ages_s = unchanged_s(transcoded(iter(pictures), *ENCODERS[encoder]))
    assert max(ages_s[:50]) < 2
    assert max(ages_s) > 4


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(("flat", "sigma"), [(False, 1.0), (True, 1.0), (True, 2.0)])
def test_quiet_scene_with_noise_changes(encoder: str, flat: bool, sigma: float) -> None:
    """At the latest with each key frame, 1 or 2 s apart."""
    ages_s = unchanged_s(transcoded(noisy(scene(flat), sigma, 120), *ENCODERS[encoder]))
    assert max(ages_s) <= 2.0


def test_small_motion_in_a_still_picture_is_a_change() -> None:
    def pictures() -> Iterator[np.ndarray]:
        still = scene(False)
        for index in range(160):
            picture = still.copy()
            if index >= 100:
                picture[100:116, 100 + index % 50 : 116 + index % 50] = 250
            yield picture

    ages_s = unchanged_s(transcoded(pictures(), *ENCODERS["crf 20"]))
    assert ages_s[99] > 2
    assert max(ages_s[104:]) < 0.5


def test_other_size_is_a_change() -> None:
    watch = PictureWatch()
    pixels = np.full((64, 64, 3), 7, np.uint8)
    watch.see(pixel_rows(pixels), True, 1.0)
    watch.see(pixel_rows(pixels), True, 2.0)
    assert watch.changed_s == 1.0
    watch.see(pixel_rows(pixels[:48]), True, 3.0)
    assert watch.changed_s == 3.0


def test_one_level_in_an_uncoded_picture_is_a_change() -> None:
    watch, pixels = PictureWatch(), np.full((64, 64, 3), 7, np.uint8)
    watch.see(pixel_rows(pixels), True, 1.0)
    pixels[24, 5, 1] += 1
    watch.see(pixel_rows(pixels), True, 2.0)
    assert watch.changed_s == 2.0
