"""`open_source`: folders, and errors of files and cameras that cannot be opened."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest
from facesr_edge.engines.errors import InputError, UsageError
from facesr_edge.sdk.media.sources import open_source
from support.media import encoded, make_image, one_line


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("none.png", None, "does not exist"),
        ("none.mp4", None, "does not exist"),
        ("e.png", b"", "empty"),
        ("e.mp4", b"", "empty"),
        ("t.jpg", b"hello " * 99, "not an image"),
        ("t.mp4", b"hello " * 99, "cannot be opened"),
        ("t.txt", b"hello " * 99, "is a text file"),
        ("noise.mkv", bytes(range(256)) * 20, "cannot be opened"),
    ],
)
def test_unsupported_file_raises_a_one_line_error(
    tmp_path: Path, name: str, content: bytes | None, expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        open_source(tmp_path / name)
    assert expected in one_line(error)
    assert name in one_line(error)
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every folder")
def test_folder_without_read_permission_raises(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0)
    with pytest.raises(InputError, match="permission denied"):
        open_source(folder)


def test_audio_file_has_no_video_stream(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "s.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(InputError, match="no video stream"):
        open_source(tmp_path / "s.wav")


def test_folder_yields_its_images_sorted_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "C.PNG"):
        make_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "inner").mkdir()
    with open_source(tmp_path) as source:
        names = [frame.name for frame in source]
        indexes = [frame.index for frame in source]
    assert (source.kind, source.frame_count) == ("folder", 3)
    assert names == ["C.PNG", "a.jpg", "b.png"]
    assert indexes == [0, 1, 2]


def test_folder_without_images_raises_with_the_supported_suffixes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.jpg"):
        open_source(tmp_path)


def test_an_unreadable_image_of_a_folder_is_a_failure_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(".png"))
    (tmp_path / "b.png").write_bytes(b"nothing")
    (tmp_path / "c.png").write_bytes(encoded(".png"))
    with open_source(tmp_path) as source:
        for _ in range(2):
            assert [frame.name for frame in source] == ["a.png", "c.png"]
            assert [failure.name for failure in source.failures] == ["b.png"]


@pytest.mark.parametrize("index", [97, "97", "/dev/video97"])
def test_missing_camera_raises(index: int | str) -> None:
    with pytest.raises(InputError, match="camera /dev/video97 does not exist"):
        open_source(index)


def test_timeout_must_be_positive() -> None:
    with pytest.raises(UsageError):
        open_source("rtsp://127.0.0.1:9/live", timeout_s=0)
