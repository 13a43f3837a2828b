"""Frames of a video as numbered images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.media.encode_options import EncodeOptions
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from support.media import convert, make_video, one_line


def test_each_frame_is_an_image_with_its_index(tmp_path: Path) -> None:
    make_video(tmp_path / "in.mp4", 12, audio=("aac",))
    notes = convert(tmp_path / "in.mp4", tmp_path / "frames" / "f%04d.png")
    assert "audio (aac) dropped: images hold none; give a video as output" in notes
    names = sorted(path.name for path in (tmp_path / "frames").glob("*.png"))
    assert names == [f"f{index:04d}.png" for index in range(12)]
    with open_source(tmp_path / "in.mp4") as source:
        for frame in source:
            written = cv2.imread(str(tmp_path / "frames" / f"f{frame.index:04d}.png"))
            np.testing.assert_array_equal(written, frame.pixels)


def test_options_of_the_image_format_apply(tmp_path: Path) -> None:
    with open_source(make_video(tmp_path / "in.mp4", 2)) as source:
        with open_sink(tmp_path / "%d.jpg", source, options=EncodeOptions(quality=30)) as sink:
            for frame in source:
                sink.write(frame, frame.pixels)
        with pytest.raises(UsageError) as error:
            open_sink(tmp_path / "%d.png", source, options=EncodeOptions(codec="h264"))
    assert "codec" in one_line(error)
    assert (tmp_path / "1.jpg").stat().st_size < 2500


@pytest.mark.parametrize("name", ["%d-%d.png", "%05d.mp4", "100%-%d.png"])
def test_other_patterns_are_rejected(tmp_path: Path, name: str) -> None:
    with open_source(make_video(tmp_path / "in.mp4", 2)) as source, pytest.raises(UsageError) as error:
        open_sink(tmp_path / name, source)
    one_line(error)
