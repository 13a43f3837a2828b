"""Timing of GIF files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from facesr_edge.sdk.media.video.encoding.gif import gif_loop
from PIL import Image
from support.media import convert, make_video

DURATIONS = [100, 500, 50, 1000]


def make_animation(path: Path, loop: int = 3) -> Path:
    pictures = [Image.fromarray(np.full((48, 64, 3), 60 * index + 20, np.uint8)) for index in range(4)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=DURATIONS, loop=loop)
    return path


def delays_and_loop(path: Path) -> tuple[list[int], int | None]:
    with Image.open(path) as picture:
        delays = []
        for index in range(picture.n_frames):
            picture.seek(index)
            delays.append(picture.info["duration"])
        return delays, picture.info.get("loop")


@pytest.mark.parametrize("source", ["in.gif", "in.webp"])
@pytest.mark.parametrize("loop", [0, 3])
def test_every_duration_and_the_loop_are_kept(tmp_path: Path, source: str, loop: int) -> None:
    assert convert(make_animation(tmp_path / source, loop), tmp_path / "o.gif") == []
    assert delays_and_loop(tmp_path / "o.gif") == (DURATIONS, loop)


def test_frames_above_50_per_second_are_left_out_with_a_note(tmp_path: Path) -> None:
    make_video(tmp_path / "in.mkv", 60, pts=[round(index * 1000 / 60) for index in range(60)])
    (note,) = convert(tmp_path / "in.mkv", tmp_path / "o.gif")
    delays, _ = delays_and_loop(tmp_path / "o.gif")
    assert note == f"{60 - len(delays)} frames left out: .gif holds 50 frames/s; use .mp4 or .mkv"
    assert min(delays) >= 20
    assert abs(sum(delays) - 1000) <= 20


@pytest.mark.parametrize(("repetitions", "option"), [(None, "0"), (0, "0"), (1, "-1"), (3, "3"), (1 << 20, "65535")])
def test_number_of_repetitions(repetitions: int | None, option: str) -> None:
    assert gif_loop(repetitions) == option
