"""CMYK, L*a*b*, palettes and sample types: converted with a note, or a clear error."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import InputError
from facesr_edge.sdk.media.sources import open_source
from PIL import Image
from support.pictures import HEIGHT, WIDTH, cmyk_profile, save


def colors() -> Image.Image:
    pixels = np.full((HEIGHT, WIDTH, 3), (200, 60, 40), np.uint8)
    pixels[:, 32:] = (40, 90, 180)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_without_a_profile_is_converted_with_a_note(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"in{suffix}", colors().convert("CMYK"))
    source = open_source(path)
    (frame,) = source
    assert source.notes == ["CMYK converted to sRGB without a profile"]
    np.testing.assert_allclose(frame.pixels[:, :20], np.broadcast_to((40, 60, 200), (HEIGHT, 20, 3)), atol=12)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_with_a_profile_is_converted_by_it(tmp_path: Path, suffix: str) -> None:
    cmyk = Image.new("CMYK", (WIDTH, HEIGHT), (255, 255, 0, 0))
    source = open_source(save(tmp_path / f"in{suffix}", cmyk, icc_profile=cmyk_profile()))
    (frame,) = source
    assert [note.split(" with ")[0] for note in source.notes] == ["CMYK converted to sRGB"]
    assert frame.metadata is not None
    assert frame.metadata.icc == b""
    np.testing.assert_allclose(frame.pixels, 119, atol=3)  # L* = 50


def test_lab_is_converted_with_a_note(tmp_path: Path) -> None:
    from PIL import ImageCms

    lab = ImageCms.profileToProfile(
        colors(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    source = open_source(save(tmp_path / "in.tif", lab))
    (frame,) = source
    assert source.notes == ["L*a*b* colors converted to sRGB"]
    np.testing.assert_allclose(frame.pixels[:, :20], np.broadcast_to((40, 60, 200), (HEIGHT, 20, 3)), atol=4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_floating_point_tiff_is_a_clear_error(tmp_path: Path, dtype: type, channels: int) -> None:
    pixels = np.zeros((HEIGHT, WIDTH, channels), dtype)
    (tmp_path / "in.tif").write_bytes(cv2.imencode(".tif", pixels)[1].tobytes())
    with pytest.raises(InputError, match=r"in\.tif has \d+-bit floating-point samples; convert it"):
        open_source(tmp_path / "in.tif")


@pytest.mark.parametrize("mode", ["1", "P", "L"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_few_colors_are_read(tmp_path: Path, suffix: str, mode: str) -> None:
    path = save(tmp_path / f"in{suffix}", colors().convert(mode))
    source = open_source(path)
    (frame,) = source
    assert source.notes == []
    np.testing.assert_array_equal(frame.pixels[:, :, ::-1], np.asarray(colors().convert(mode).convert("RGB")))


def test_ycbcr_tiff_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "in.tif", colors(), compression="jpeg")
    (frame,) = open_source(path)
    assert np.abs(frame.pixels[:, ::-1, ::-1].astype(int) - np.asarray(colors())[:, ::-1]).mean() < 3


def test_transparent_bmp_is_read(tmp_path: Path) -> None:
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:, 4:] = (10, 20, 30, 200)
    path = save(tmp_path / "in.bmp", rgba)
    header = bytearray(path.read_bytes())
    (frame,) = open_source(path)
    if header[30] == 3:  # with masks, hence with opacity
        np.testing.assert_array_equal(frame.alpha, rgba[:, :, 3])
