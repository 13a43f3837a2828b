"""Options of image encoders: subsampling, quality of the newer formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.media.encode_options import EncodeOptions
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from PIL import Image
from support.pictures import pass_through, save


def noise(path: Path) -> Path:
    return save(path, np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize(("value", "luma"), [("444", 0x11), ("422", 0x21), ("420", 0x22), (None, 0x22)])
def test_subsampling_of_jpeg(tmp_path: Path, value: str | None, luma: int) -> None:
    pass_through(noise(tmp_path / "in.png"), tmp_path / "o.jpg", subsampling=value)
    with Image.open(tmp_path / "o.jpg") as image:
        assert 16 * image.layer[0][1] + image.layer[0][2] == luma


@pytest.mark.parametrize("suffix", [".avif", ".heic", ".jxl", ".jpg"])
def test_quality_changes_the_size(tmp_path: Path, suffix: str) -> None:
    sizes = []
    for quality in (30, 95):
        pass_through(noise(tmp_path / "in.png"), tmp_path / f"o{suffix}", quality=quality)
        sizes.append((tmp_path / f"o{suffix}").stat().st_size)
    assert sizes[0] < 0.7 * sizes[1]


@pytest.mark.parametrize("options", [{"subsampling": "411"}, {"subsampling": 444}])
def test_unknown_subsampling_is_rejected(options: dict) -> None:
    with pytest.raises(UsageError, match="subsampling"):
        EncodeOptions(**options)


@pytest.mark.parametrize("options", [EncodeOptions(subsampling="444"), EncodeOptions(quality=3)])
def test_option_of_another_format_is_rejected(tmp_path: Path, options: EncodeOptions) -> None:
    with open_source(noise(tmp_path / "in.png")) as source, pytest.raises(UsageError, match="cannot be used"):
        open_sink(tmp_path / "o.png", source, options=options)


def test_compression_zero_is_an_option_that_is_given(tmp_path: Path) -> None:
    with open_source(noise(tmp_path / "in.png")) as source, pytest.raises(UsageError, match="compression"):
        open_sink(tmp_path / "o.jpg", source, options=EncodeOptions(compression=0))
