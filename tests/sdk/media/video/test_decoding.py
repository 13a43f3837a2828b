"""Hardware and threads of decoders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.media.video.decoding import DECODING_DEVICES, choose_decoding
from support.media import make_image, make_video, one_line


def _working() -> list[str]:
    devices = []
    for device in DECODING_DEVICES:
        try:
            choose_decoding(device)
        except UsageError:
            continue
        devices.append(device)
    return devices


WORKING = _working()


@pytest.mark.parametrize("threads", [0, 1, 2])
@pytest.mark.parametrize("hwaccel", [None, "auto", "qsv", "v4l2m2m"])
def test_threads_and_hardware_do_not_change_the_frames(tmp_path: Path, threads: int, hwaccel: str | None) -> None:
    path = make_video(tmp_path / "v.mp4")
    with open_source(path) as source:
        expected = [frame.pixels for frame in source]
    with open_source(path, hwaccel=hwaccel, threads=threads) as source:
        frames = [frame.pixels for frame in source]
    assert len(source.info) == (hwaccel is not None)
    if not WORKING:
        assert all("in software" in note for note in source.info)
    np.testing.assert_allclose(frames, expected, atol=2 if WORKING and hwaccel == "auto" else 0)


def test_auto_names_every_device_in_its_note(tmp_path: Path) -> None:
    with open_source(make_video(tmp_path / "v.mp4", 3), hwaccel="auto") as source:
        assert all(device in source.info[0] for device in DECODING_DEVICES)


@pytest.mark.parametrize(
    "hwaccel", sorted({*DECODING_DEVICES} - {*WORKING}) or [pytest.param("", marks=pytest.mark.skip)]
)
def test_device_that_is_missing_is_rejected_on_opening(tmp_path: Path, hwaccel: str) -> None:
    with pytest.raises(UsageError) as error:
        open_source(make_video(tmp_path / "v.mp4", 3), hwaccel=hwaccel)
    assert "does not work on this machine" in one_line(error)


def test_unknown_hardware_and_negative_threads_are_rejected(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 3)
    with pytest.raises(UsageError, match="did you mean 'cuda'"):
        open_source(path, hwaccel="cudo")
    with pytest.raises(UsageError, match="0 or more"):
        open_source(path, threads=-1)


def test_hardware_for_an_image_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="images are decoded in software"):
        open_source(make_image(tmp_path / "a.png"), hwaccel="auto")
