"""Numbered images as a video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from facesr_edge.engines.errors import InputError, UsageError
from facesr_edge.sdk.media.sources import open_source
from support.media import encoded, pattern


def write(folder: Path, pattern_name: str, numbers: list[int]) -> None:
    for number in numbers:
        (folder / (pattern_name % number)).write_bytes(encoded(".png", pattern(number * 10 % 250)))


@pytest.mark.parametrize(("name", "first"), [("%05d.png", 1), ("f%d.png", 8), ("frame-%03d.jpg.png", 0)])
def test_numbered_images_are_frames_in_order(tmp_path: Path, name: str, first: int) -> None:
    write(tmp_path, name, list(range(first, first + 12)))
    (tmp_path / "other.png").write_bytes(encoded(".png"))
    with open_source(tmp_path / name, rate=30) as source:
        frames = list(source)
    assert (source.kind, source.frame_count, source.rate, source.size_wh) == ("video", 12, 30, (64, 48))
    assert [frame.name for frame in frames] == [name % number for number in range(first, first + 12)]
    assert [Fraction(frame.pts) * frame.time_base for frame in frames] == [Fraction(n, 30) for n in range(12)]
    assert source.notes == []
    assert source.exhausted


def test_gap_and_broken_image_are_told(tmp_path: Path) -> None:
    write(tmp_path, "%04d.png", [1, 2, 5, 6])
    (tmp_path / "0005.png").write_bytes(b"broken")
    with open_source(tmp_path / "%04d.png") as source:
        frames = list(source)
    assert [frame.pts for frame in frames] == [0, 1, 3]
    (note,) = source.notes
    assert "2 numbers are missing, first 3" in note
    assert [failure.name for failure in source.failures] == ["0005.png"]


def test_images_of_another_size_are_scaled(tmp_path: Path) -> None:
    write(tmp_path, "%d.png", [1, 2])
    (tmp_path / "3.png").write_bytes(encoded(".png", np.full((96, 100, 3), 90, np.uint8)))
    with open_source(tmp_path / "%d.png") as source:
        assert {frame.pixels.shape for frame in source} == {(48, 64, 3)}
        assert any("scaled" in note for note in source.notes)


def test_pattern_without_files_and_wrong_rate_raise(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file matches"):
        open_source(tmp_path / "%05d.png")
    write(tmp_path, "%d.png", [1])
    with pytest.raises(UsageError, match="rate"):
        open_source(tmp_path / "%d.png", rate=0)
