"""16 bits per sample, and 10 and 12 bits: kept in `Frame.deep` and written where the format can."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from facesr_edge.sdk.media.images.formats import IMAGE_FORMATS
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.pipeline.frame import Frame
from support.pictures import HEIGHT, WIDTH, deep_rgb, exif, pass_through, rgb_profile

DEEP = [".png", ".tif"]


def write(path: Path, pixels: np.ndarray) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


def deep_frame(path: Path) -> Frame:
    (frame,) = open_source(path)
    assert frame.deep is not None
    np.testing.assert_array_equal(frame.pixels, frame.deep >> 8)
    return frame


@pytest.mark.parametrize("suffix", DEEP)
def test_16_bits_are_read_and_written(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"in{suffix}", deep_rgb())
    np.testing.assert_array_equal(deep_frame(path).deep, deep_rgb())
    for target in DEEP:
        source, sink = pass_through(path, tmp_path / f"o{target}", scale=2)
        assert (source.notes, sink.notes) == ([], [])
        expected = cv2.resize(deep_rgb(), (2 * WIDTH, 2 * HEIGHT), interpolation=cv2.INTER_CUBIC)
        np.testing.assert_array_equal(deep_frame(tmp_path / f"o{target}").deep, expected)


@pytest.mark.parametrize("suffix", DEEP)
def test_16_bit_alpha_is_kept(tmp_path: Path, suffix: str) -> None:
    alpha = np.random.default_rng(3).integers(1, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
    path = write(tmp_path / f"in{suffix}", np.dstack([deep_rgb(), alpha]))
    np.testing.assert_array_equal(deep_frame(path).alpha, alpha)
    pass_through(path, tmp_path / f"o{suffix}", scale=1)
    again = deep_frame(tmp_path / f"o{suffix}")
    np.testing.assert_array_equal(again.alpha, alpha)
    np.testing.assert_array_equal(again.deep, deep_rgb())


@pytest.mark.parametrize("suffix", DEEP)
def test_16_bit_gray_is_read_as_color(tmp_path: Path, suffix: str) -> None:
    gray = deep_rgb()[:, :, 0]
    frame = deep_frame(write(tmp_path / f"in{suffix}", gray))
    np.testing.assert_array_equal(frame.deep, np.dstack([gray] * 3))


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp", ".avif", ".jxl"])
def test_8_bit_format_gets_the_upper_bits_and_one_note(tmp_path: Path, suffix: str) -> None:
    smooth = cv2.GaussianBlur(deep_rgb(), (0, 0), 9)
    _, sink = pass_through(write(tmp_path / "in.png", smooth), tmp_path / f"o{suffix}", scale=1)
    name = next(entry.name for entry in IMAGE_FORMATS.values() if suffix in entry.suffixes)
    assert sink.notes == [f"16 bits per sample reduced to 8: {name} stores 8"]
    (frame,) = open_source(tmp_path / f"o{suffix}")
    assert np.abs(frame.pixels.astype(int) - (smooth >> 8)).max() < 8


def test_bits_of_heic_are_kept(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, WIDTH * HEIGHT).astype(np.uint16).reshape(HEIGHT, WIDTH)
    smooth = np.dstack([ramp] * 3)
    deep = pillow_heif.from_bytes("BGR;16", (WIDTH, HEIGHT), smooth.tobytes())
    deep[0].info["icc_profile"] = rgb_profile()
    deep.save(tmp_path / "in.heic", quality=-1, exif=exif(1))
    source = open_source(tmp_path / "in.heic")
    (frame,) = source
    assert source.notes == []
    assert frame.deep is not None
    assert np.abs(frame.deep.astype(int) - smooth).max() < 1024
    assert len(np.unique(frame.deep)) > 256
    _, sink = pass_through(tmp_path / "in.heic", tmp_path / "o.heic", scale=1)
    assert sink.notes == []
    again = deep_frame(tmp_path / "o.heic")
    assert np.abs(again.deep.astype(int) - smooth).max() < 2048
    assert again.metadata is not None
    assert again.metadata.icc == rgb_profile()
    assert b"Maker" in again.metadata.exif


def test_deep_tiff_of_white_is_zero_is_inverted(tmp_path: Path) -> None:
    data = bytearray(cv2.imencode(".tif", deep_rgb()[:, :, 0], [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1].tobytes())
    at = data.index(b"\x06\x01\x03\x00\x01\x00\x00\x00\x01")  # PhotometricInterpretation: black is zero
    data[at + 8] = 0
    (tmp_path / "in.tif").write_bytes(bytes(data))
    np.testing.assert_array_equal(deep_frame(tmp_path / "in.tif").deep[:, :, 0], ~deep_rgb()[:, :, 0])
