"""ICC, EXIF, XMP and resolution: read, updated for the composite, and written by every format that holds them."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from facesr_edge.sdk.media.images.embed import png_chunk
from facesr_edge.sdk.media.images.exif import orientation, resized_exif
from facesr_edge.sdk.media.sources import open_source
from PIL import Image
from support.pictures import HEIGHT, WIDTH, XMP, exif, gray_profile, pass_through, rgb_profile, save

FORMATS = [".jpg", ".png", ".webp", ".tif", ".avif", ".heic"]
GPS = {1: "N", 2: (48.0, 8.0, 15.5), 3: "E", 4: (11.0, 34.0, 30.0)}


def picture() -> Image.Image:
    ramp = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    ramp[:, :, 0] = np.arange(WIDTH) * 4
    ramp[:, :, 2] = 90
    return Image.fromarray(ramp)


def tagged(path: Path, **settings: object) -> Path:
    """A picture with all metadata; PNG and TIFF cannot take an XMP packet from Pillow's `save`."""
    blocks = {"exif": b"Exif\0\0" + exif(), "icc_profile": rgb_profile(), **settings}
    if path.suffix in (".jpg", ".png"):
        blocks["dpi"] = (300, 300)
    if path.suffix not in (".png", ".tif"):
        blocks["xmp"] = XMP
    return save(path, picture(), **blocks)


@pytest.mark.parametrize("suffix", FORMATS)
def test_metadata_is_kept_in_every_format(tmp_path: Path, suffix: str) -> None:
    source, sink = pass_through(tagged(tmp_path / "in.jpg"), tmp_path / f"o{suffix}")
    assert source.size_wh == (HEIGHT, WIDTH)
    assert all("resolution" in note for note in sink.notes)
    with Image.open(tmp_path / f"o{suffix}") as image:
        tags = image.getexif()
        assert image.size == (2 * HEIGHT, 2 * WIDTH)
        assert image.info["icc_profile"] == rgb_profile()
        assert (tags[0x010F], tags.get(0x0112, 1)) == ("Maker", 1)
        assert dict(tags.get_ifd(0x8825)) == GPS
        details = tags.get_ifd(0x8769)
        assert (details[0xA002], details[0xA003]) == (2 * HEIGHT, 2 * WIDTH)
        assert details[0x9003] == "2024:05:06 07:08:09"
        assert details[0x927C] == b"note \0\1\2"
        assert b'dc:title="T"' in image.info["xmp"]
        assert b'tiff:Orientation="6"' not in image.info["xmp"]
        if suffix in (".jpg", ".png", ".tif"):
            np.testing.assert_allclose([float(v) for v in image.info["dpi"]], (300, 300), rtol=1e-3)
    (again,) = open_source(tmp_path / f"o{suffix}")  # and nothing is turned twice
    assert again.pixels.shape == (2 * WIDTH, 2 * HEIGHT, 3)


@pytest.mark.parametrize("suffix", FORMATS)
def test_metadata_is_read_from_every_format(tmp_path: Path, suffix: str) -> None:
    (frame,) = open_source(tagged(tmp_path / f"in{suffix}"))
    metadata = frame.metadata
    assert metadata is not None
    assert metadata.icc == rgb_profile()
    assert orientation(metadata.exif) == 1
    tags = Image.Exif()
    tags.load(metadata.exif)
    assert tags.get_ifd(0x8825) == GPS
    assert suffix in (".png", ".tif") or b'dc:title="T"' in metadata.xmp
    assert suffix in (".jpg", ".png") or metadata.dpi is None
    assert frame.pixels.shape == (WIDTH, HEIGHT, 3)


@pytest.mark.parametrize("suffix", FORMATS)
def test_strip_metadata_removes_exif_and_xmp_and_keeps_the_profile(tmp_path: Path, suffix: str) -> None:
    _, sink = pass_through(tagged(tmp_path / "in.jpg"), tmp_path / f"o{suffix}", strip_metadata=True)
    data = (tmp_path / f"o{suffix}").read_bytes()
    assert sink.notes == []
    with Image.open(tmp_path / f"o{suffix}") as image:
        assert image.info["icc_profile"] == rgb_profile()
        assert not image.getexif().get_ifd(0x8825)
    assert b"Somebody" not in data
    assert b"dc:title" not in data


def test_thumbnail_of_the_small_picture_is_removed(tmp_path: Path) -> None:
    thumbnail = b"\xff\xd8thumbnail of the small picture\xff\xd9"
    path = save(tmp_path / "in.jpg", picture(), exif=b"Exif\0\0" + exif(1, thumbnail))
    assert thumbnail in path.read_bytes()
    pass_through(path, tmp_path / "o.jpg")
    assert b"thumbnail of" not in (tmp_path / "o.jpg").read_bytes()
    with Image.open(tmp_path / "o.jpg") as image:
        assert image.getexif().get_ifd(1) == {}
        assert image.getexif()[0x010F] == "Maker"


@pytest.mark.parametrize("block", [b"II*\0", b"II*\0\xff\xff\xff\x7f", b"MM\0*\0\0\0\x08\xff\xff", b"garbage"])
def test_damaged_exif_does_not_stop_a_picture(tmp_path: Path, block: bytes) -> None:
    path = save(tmp_path / "in.jpg", picture(), exif=b"Exif\0\0" + block)
    _, sink = pass_through(path, tmp_path / "o.jpg")
    assert sink.notes in ([], ["EXIF dropped: it is damaged"])
    assert resized_exif(block, (1, 1)) in (b"", block)


def test_exif_after_the_pixels_of_a_png_is_read(tmp_path: Path) -> None:
    path = tagged(tmp_path / "in.png")
    data = path.read_bytes()
    at = data.index(b"eXIf") - 4
    end = at + 12 + int.from_bytes(data[at : at + 4], "big")
    path.write_bytes(data[:at] + data[end:-12] + data[at:end] + data[-12:])
    (frame,) = open_source(path)
    assert frame.pixels.shape == (WIDTH, HEIGHT, 3)
    assert frame.metadata is not None
    assert b"Maker" in frame.metadata.exif


def test_profile_of_many_segments_is_kept(tmp_path: Path) -> None:
    profile = bytearray(rgb_profile()) + bytes(200_000)
    profile[:4] = len(profile).to_bytes(4, "big")
    path = save(tmp_path / "in.png", picture(), icc_profile=bytes(profile))
    pass_through(path, tmp_path / "o.jpg")
    with Image.open(tmp_path / "o.jpg") as image:
        assert image.info["icc_profile"] == bytes(profile)


def test_exif_that_does_not_fit_a_jpeg_is_noted(tmp_path: Path) -> None:
    block = Image.Exif()
    block[0x010E] = "x" * 70_000
    path = save(tmp_path / "in.png", picture(), exif=block.tobytes())
    _, sink = pass_through(path, tmp_path / "o.jpg")
    assert [note.split(":")[0] for note in sink.notes] == ["EXIF dropped"]


def test_pixels_with_a_profile_are_not_changed(tmp_path: Path) -> None:
    (frame,) = open_source(tagged(tmp_path / "in.png", exif=b""))
    np.testing.assert_array_equal(frame.pixels[:, :, ::-1], np.asarray(picture()))


@pytest.mark.parametrize(("suffix", "kept"), [(".bmp", True), (".jxl", False)])
def test_format_without_profiles_gets_srgb_and_a_note(tmp_path: Path, suffix: str, kept: bool) -> None:
    path = save(tmp_path / "in.png", picture(), icc_profile=rgb_profile())
    _, sink = pass_through(path, tmp_path / f"o{suffix}")
    assert [note.split(" from ")[0] for note in sink.notes] == ["colors converted to sRGB"]
    if kept:  # the profile exchanges red and green
        with Image.open(tmp_path / f"o{suffix}") as image:
            red, green, _ = np.asarray(image)[40, -2].astype(int)
        assert green > 200 > 60 > red


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_gray_profile_is_applied(tmp_path: Path, mode: str) -> None:
    levels = np.tile(np.arange(WIDTH) * 4, (HEIGHT, 1))
    pixels = (levels * 257).astype(np.uint16) if mode == "I;16" else levels.astype(np.uint8)
    path = save(tmp_path / "in.png", Image.fromarray(pixels), icc_profile=gray_profile(1.0))
    source = open_source(path)
    (frame,) = source
    linear = levels / 255
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(frame.pixels[:, :, 1], srgb * 255, atol=2)
    assert frame.metadata is not None
    assert frame.metadata.icc == b""
    assert (frame.deep is not None) == (mode == "I;16")
    assert [note.split(" from ")[0] for note in source.notes] == ["gray levels converted to sRGB"]


def test_resolution_is_kept_in_exif_where_the_format_has_no_other_place(tmp_path: Path) -> None:
    path = save(tmp_path / "in.png", picture(), dpi=(300, 150))
    _, sink = pass_through(path, tmp_path / "o.webp")
    assert sink.notes == []
    with Image.open(tmp_path / "o.webp") as image:
        tags = image.getexif()
    np.testing.assert_allclose([float(tags[0x011A]), float(tags[0x011B])], (300, 150), rtol=1e-3)


def test_what_is_not_read_of_a_file_is_noted(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Title", "t")
    path = save(tmp_path / "in.png", picture(), pnginfo=text)
    assert open_source(path).notes == ["PNG text dropped: Title"]
    assert open_source(save(tmp_path / "in.jpg", picture(), comment=b"c")).notes == ["JPEG comment dropped"]
    mpo = save(tmp_path / "mpo.jpg", picture(), "MPO", save_all=True, append_images=[picture()])
    assert open_source(mpo).notes[0].startswith("1 further image in the file")
    heic = save(tmp_path / "in.heic", picture(), save_all=True, append_images=[picture()])
    assert open_source(heic).notes == ["1 further image in the file dropped"]


def test_metadata_that_cannot_be_read_is_noted(tmp_path: Path) -> None:
    path = save(tmp_path / "in.png", picture())
    data = path.read_bytes()
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000)))
    path.write_bytes(data[:33] + bomb + data[33:])
    source = open_source(path)
    assert source.notes == ["metadata dropped: it cannot be read"]
    np.testing.assert_array_equal(next(iter(source)).pixels[:, :, ::-1], np.asarray(picture()))
