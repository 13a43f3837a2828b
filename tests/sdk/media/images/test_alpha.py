"""Opacity: kept and enlarged, and hidden colors do not bleed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from facesr_edge.sdk.media.images.transparency import fill_hidden
from facesr_edge.sdk.media.sources import open_source
from PIL import Image
from support.pictures import pass_through, rgba, save

ALPHA_FORMATS = [".png", ".webp", ".tif", ".avif", ".heic", ".jxl"]
LOSSY = {".avif", ".heic", ".jxl"}


@pytest.mark.parametrize("suffix", ALPHA_FORMATS)
def test_alpha_is_read_and_hidden_colors_are_replaced(tmp_path: Path, suffix: str) -> None:
    settings = {"lossless": True} if suffix in (".webp", ".jxl") else {}
    path = save(tmp_path / f"in{suffix}", rgba(), **settings)
    (frame,) = open_source(path)
    assert frame.alpha is not None
    tolerance = 3 if suffix in {".avif", ".heic"} else 0
    np.testing.assert_allclose(frame.alpha.astype(int), rgba()[:, :, 3], atol=tolerance)
    inner = frame.pixels[20:28, 20:40].astype(int)
    assert np.abs(inner - (0, 160, 0)).max() <= 2 * tolerance
    if not tolerance:
        np.testing.assert_array_equal(frame.pixels, np.broadcast_to((0, 160, 0), frame.pixels.shape))


@pytest.mark.parametrize("suffix", ALPHA_FORMATS)
def test_alpha_is_enlarged_and_written_without_bleeding(tmp_path: Path, suffix: str) -> None:
    source, sink = pass_through(save(tmp_path / "in.png", rgba()), tmp_path / f"o{suffix}")
    with Image.open(tmp_path / f"o{suffix}") as image:
        pixels = np.asarray(image.convert("RGBA")).astype(int)
    assert (source.notes, sink.notes) == ([], [])
    tolerance = 8 if suffix in LOSSY else 0
    np.testing.assert_allclose(pixels[40:56, 40:88, 3], 255, atol=tolerance)
    np.testing.assert_allclose(pixels[:10, :, 3], 0, atol=tolerance)
    visible = pixels[pixels[:, :, 3] > 16]
    assert visible[:, 0].max() <= 6 * tolerance  # the hidden magenta is nowhere


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_format_without_alpha_is_composited_over_white_with_one_note(tmp_path: Path, suffix: str) -> None:
    _, sink = pass_through(save(tmp_path / "in.png", rgba()), tmp_path / f"o{suffix}")
    pixels = np.asarray(Image.open(tmp_path / f"o{suffix}").convert("RGB")).astype(int)
    assert [note.split(":")[0] for note in sink.notes] == ["transparency dropped"]
    np.testing.assert_allclose(pixels[2, 2], (255, 255, 255), atol=3)
    np.testing.assert_allclose(pixels[48, 64], (0, 160, 0), atol=3)
    np.testing.assert_allclose(pixels[24, 64], (127, 207, 127), atol=4)


@pytest.mark.parametrize("mode", ["P", "LA", "L", "RGB", "1"])
def test_palette_gray_and_color_key_opacity_are_read(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(rgba()[:, :, :3] if mode in ("L", "RGB", "1") else rgba())
    picture = picture.convert(mode) if mode != "P" else picture.convert("RGBA").quantize(8)
    settings = {"RGB": {"transparency": (255, 0, 255)}, "L": {"transparency": picture.getpixel((0, 0))}}.get(mode, {})
    path = save(tmp_path / "in.png", picture, **settings)
    (frame,) = open_source(path)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGBA"))
    if mode == "1":
        assert frame.alpha is None
    else:
        np.testing.assert_array_equal(frame.alpha, expected[:, :, 3])
    opaque = expected[:, :, 3] == 255
    np.testing.assert_array_equal(frame.pixels[opaque], expected[opaque][:, 2::-1])


def test_opaque_alpha_is_no_alpha(tmp_path: Path) -> None:
    path = save(tmp_path / "in.png", Image.new("RGBA", (9, 9), (1, 2, 3, 255)))
    (frame,) = open_source(path)
    assert frame.alpha is None
    assert pass_through(path, tmp_path / "o.jpg")[1].notes == []


def test_hidden_pixels_get_the_color_of_the_nearest_visible_pixel() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    alpha = (rng.random((40, 50)) < 0.02).astype(np.uint8) * 200
    alpha[3, 4] = 1
    before = pixels.copy()
    fill_hidden(pixels, alpha)
    visible = np.argwhere(alpha > 0)
    np.testing.assert_array_equal(pixels[alpha > 0], before[alpha > 0])
    for y, x in [(0, 0), (39, 49), (20, 25), (10, 3)]:
        distances = np.hypot(*(visible - (y, x)).T)
        candidates = [tuple(before[tuple(p)]) for p in visible[distances <= distances.min() * 1.1]]
        assert tuple(pixels[y, x]) in candidates


def test_invisible_image_stays_as_it_is(tmp_path: Path) -> None:
    path = save(tmp_path / "in.png", Image.new("RGBA", (9, 9), (1, 2, 3, 0)))
    (frame,) = open_source(path)
    np.testing.assert_array_equal(frame.pixels, np.broadcast_to((3, 2, 1), (9, 9, 3)))
