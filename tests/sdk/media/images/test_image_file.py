"""Decoding of image files: formats, orientation, damage."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from facesr_edge.engines.errors import InputError
from facesr_edge.sdk.media.images.header import image_header
from facesr_edge.sdk.media.sources import open_source
from support.media import HEIGHT, WIDTH, encoded, one_line, pattern

SUFFIXES = [".png", ".bmp", ".tif", ".webp", ".jpg"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["plain", "Gesicht-ß-顔 1"])
def test_each_format_is_decoded(tmp_path: Path, suffix: str, name: str) -> None:
    path = tmp_path / (name + suffix.upper())
    path.write_bytes(encoded(suffix))
    with open_source(path) as source:
        (frame,) = source
    assert (source.kind, source.frame_count, source.size_wh) == ("image", 1, (WIDTH, HEIGHT))
    assert frame.name == path.name
    assert np.abs(frame.pixels.astype(int) - pattern()).mean() < (0.01 if suffix in {".png", ".bmp", ".tif"} else 3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("kind", ["gray", "gray16", "color16", "alpha", "alpha16"])
def test_gray_alpha_and_16_bit_are_converted_to_bgr(tmp_path: Path, suffix: str, kind: str) -> None:
    base = pattern()
    expected = np.repeat(base[:, :, :1], 3, axis=2) if kind.startswith("gray") else base
    pixels = expected[:, :, 0] if kind.startswith("gray") else expected
    if kind.startswith("alpha"):
        pixels = np.dstack([pixels, np.full((HEIGHT, WIDTH), 77, np.uint8)])
    if kind.endswith("16"):
        pixels = pixels.astype(np.uint16) * 257
    path = tmp_path / f"p{suffix}"
    path.write_bytes(encoded(suffix, pixels))
    (frame,) = open_source(path)
    np.testing.assert_array_equal(frame.pixels, expected)


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


@pytest.mark.parametrize(
    ("orientation", "rotate"),
    [(1, lambda p: p), (3, lambda p: p[::-1, ::-1]), (6, lambda p: np.rot90(p, -1)), (8, lambda p: np.rot90(p))],
)
def test_exif_orientation_is_applied(
    tmp_path: Path, orientation: int, rotate: Callable[[np.ndarray], np.ndarray]
) -> None:
    path = tmp_path / "p.jpg"
    path.write_bytes(with_orientation(encoded(".jpg"), orientation))
    with open_source(path) as source:
        (frame,) = source
    expected = rotate(pattern())
    assert frame.pixels.shape == expected.shape
    assert source.size_wh == (expected.shape[1], expected.shape[0])
    assert np.abs(frame.pixels.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.05, 0.6, 0.97])
def test_truncated_image_raises_without_decoder_output(
    tmp_path: Path, suffix: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    data = encoded(suffix)
    path = tmp_path / f"p{suffix}"
    path.write_bytes(data[: max(16, int(len(data) * share))])
    with pytest.raises(InputError) as error:
        open_source(path)
    assert "truncated" in one_line(error)
    assert capfd.readouterr().err == ""


def test_damaged_png_raises_without_decoder_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encoded(".png"))
    data[len(data) // 2] ^= 0x5A
    (tmp_path / "p.png").write_bytes(bytes(data))
    with pytest.raises(InputError, match="damaged"):
        open_source(tmp_path / "p.png")
    assert capfd.readouterr().err == ""


def test_end_marker_of_a_thumbnail_is_not_taken_for_the_end_of_a_truncated_jpeg() -> None:
    data = encoded(".jpg")
    thumbnail = b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data
    with_thumbnail = data[:2] + thumbnail + data[2:]
    assert image_header(with_thumbnail) == image_header(data)
    truncated = image_header(with_thumbnail[:-40])
    assert truncated is not None
    assert not truncated.complete


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_header_has_the_size(suffix: str) -> None:
    header = image_header(encoded(suffix))
    assert header is not None
    assert (header.size_wh, header.complete) == ((WIDTH, HEIGHT), True)


def test_image_above_the_size_limit_is_rejected_before_decoding(tmp_path: Path) -> None:
    body = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IEND\xaeB`\x82")
    with pytest.raises(InputError, match="20000x10000 pixels, 200 megapixels"):
        open_source(tmp_path / "p.png")
