"""JPEGs that end early are refused, with or without an end marker; a whole one without it is read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import InputError
from facesr_edge.sdk.media.images.header import jpeg_end
from facesr_edge.sdk.media.sources import open_source
from PIL import Image
from support.pictures import encoded

END = b"\xff\xd9"
KINDS = {
    "plain": {},
    "4:4:4": {"subsampling": 0},
    "progressive": {"progressive": True},
    "gray": {},
    "CMYK": {},
    "restart": {"restart_marker_rows": 1},
}


def photo(kind: str, height: int = 120, flat: int = 0) -> Image.Image:
    """A textured picture; the last `flat` rows are black."""
    noise = np.random.default_rng(0).integers(0, 256, (height, 160, 3), dtype=np.uint8)
    pixels = cv2.GaussianBlur(noise, (0, 0), 2)
    if flat:
        pixels[-flat:] = 0
    return Image.fromarray(pixels).convert({"gray": "L", "CMYK": "CMYK"}.get(kind, "RGB"))


def jpeg(kind: str, **settings: int) -> bytes:
    return encoded(photo(kind, **settings), "JPEG", quality=90, **KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.5, 0.8, 0.97])
@pytest.mark.parametrize("ending", [END, b"", b"\xff"])
@pytest.mark.filterwarnings("ignore")
def test_cut_jpeg_is_refused(tmp_path: Path, kind: str, share: float, ending: bytes) -> None:
    data = jpeg(kind)
    path = tmp_path / "in.jpg"
    path.write_bytes(data[: int(len(data) * share)] + ending)
    with pytest.raises(InputError, match="truncated or damaged"):
        open_source(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flat", [0, 64])
@pytest.mark.parametrize("height", [120, 121, 113])
def test_whole_jpeg_is_read_without_its_end_marker_too(tmp_path: Path, kind: str, flat: int, height: int) -> None:
    data = jpeg(kind, height=height, flat=flat)
    path = tmp_path / "in.jpg"
    pictures = []
    for content in (data, data[: jpeg_end(data)], data + b"trailing bytes", data + bytes(500)):
        path.write_bytes(content)
        (frame,) = open_source(path)
        pictures.append(frame.pixels)
    for other in pictures[1:]:
        np.testing.assert_allclose(other.astype(int), pictures[0], atol=2)


def test_cut_inside_a_flat_end_is_refused(tmp_path: Path) -> None:
    data = jpeg("plain", flat=64)
    (tmp_path / "in.jpg").write_bytes(data[: jpeg_end(data) - 20] + END)
    with pytest.raises(InputError, match="truncated or damaged"):
        open_source(tmp_path / "in.jpg")
