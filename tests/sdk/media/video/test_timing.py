"""Times of frames, and of the end, in every container."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from support.media import convert, make_video, timestamps


def make_slides(path: Path) -> Path:
    """Pictures at 0, 0.1, 0.6 and 0.65 s; the last one is shown for 1 s."""
    pictures = [Image.fromarray(np.full((48, 64, 3), 60 * index + 20, np.uint8)) for index in range(4)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[100, 500, 50, 1000], loop=0)
    return path


@pytest.mark.parametrize("output", ["o.mp4", "o.mov", "o.mkv", "o.webm", "o.gif", "o.avi"])
def test_last_frame_is_shown_to_its_end(tmp_path: Path, output: str) -> None:
    notes = convert(make_slides(tmp_path / "in.gif"), tmp_path / output)
    assert not [note for note in notes if "left out" in note]
    with av.open(str(tmp_path / output)) as container:
        tolerance = 0.051 if output == "o.avi" else 0.002  # FFmpeg's AVI reader adds a frame
        assert container.duration / av.time_base == pytest.approx(1.65, abs=tolerance)
    assert timestamps(tmp_path / output)[:4] == pytest.approx([0.0, 0.1, 0.6, 0.65], abs=1e-3)


def test_variable_rate_is_within_half_a_frame_in_avi(tmp_path: Path) -> None:
    pts = [index * 40 + (400 if index > 20 else 0) + (7 if index % 3 else 0) for index in range(60)]
    make_video(tmp_path / "in.mkv", 60, pts=pts)
    assert convert(tmp_path / "in.mkv", tmp_path / "o.avi") == []
    written = timestamps(tmp_path / "o.avi")
    assert len(written) == 60
    errors = np.array(written) - np.array(timestamps(tmp_path / "in.mkv"))
    assert np.ptp(errors) <= 0.04  # half a frame to both sides of a constant


def test_frames_without_a_place_in_avi_are_noted(tmp_path: Path) -> None:
    make_video(tmp_path / "in.mkv", 7, pts=[0, 40, 55, 200, 999, 1000, 1400])
    (note,) = convert(tmp_path / "in.mkv", tmp_path / "o.avi")
    assert note == "2 frames left out: .avi holds a constant frame rate; use .mp4 or .mkv"
