"""Standard input and named pipes: read to the end, pictures, clear errors."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from facesr_edge.engines.errors import InputError
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.media.video.reader import VideoSource
from support.media import HEIGHT, WIDTH, encoded, make_video, one_line

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")

SCRIPT = """
from facesr_edge.engines.errors import FacesrError
from facesr_edge.sdk.media.sources import open_source
try:
    with open_source({source!r}, timeout_s=1) as source:
        print(source.kind, source.size_wh, sum(1 for _ in source))
except FacesrError as error:
    print(error)
"""


def from_stdin(data: bytes | None, source: str = "-") -> str:
    script = SCRIPT.format(source=source)
    close = None if data is not None else (lambda: os.close(0))
    done = subprocess.run(
        [sys.executable, "-c", script], input=data, capture_output=True, timeout=60, preexec_fn=close, check=True
    )
    return done.stdout.decode().strip()


def through_pipe(path: Path, data: bytes) -> Path:
    os.mkfifo(path)
    threading.Thread(target=lambda: path.write_bytes(data), daemon=True).start()
    return path


@pytest.mark.parametrize(("name", "options"), [("v.mkv", {}), ("v.ts", {}), ("v.mp4", {"movflags": "faststart"})])
def test_pipe_is_read_to_its_end_with_its_sound(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    data = make_video(tmp_path / name, 60, audio=("aac",), options=options).read_bytes()
    with open_source(through_pipe(tmp_path / "pipe", data)) as source:
        assert isinstance(source, VideoSource)
        queue = source.copy(source.streams)
        frames = list(source)
        with pytest.raises(InputError, match="once"):
            list(source)
    assert [frame.index for frame in frames] == list(range(60))
    assert len(list(queue.take_until(None))) > 100
    assert source.dropped == 0


@pytest.mark.parametrize("source", ["-", "/dev/stdin"])
def test_standard_input_is_a_video(tmp_path: Path, source: str) -> None:
    data = make_video(tmp_path / "v.mkv", 20).read_bytes()
    assert from_stdin(data, source) == f"video {(WIDTH, HEIGHT)} 20"


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_image_on_standard_input(suffix: str) -> None:
    assert from_stdin(encoded(suffix)) == f"image {(WIDTH, HEIGHT)} 1"


def test_standard_input_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    assert "empty" in from_stdin(b"")
    assert "closed" in from_stdin(None)
    assert "cannot be opened" in from_stdin(b"no video at all " * 100)


def test_mp4_with_its_index_at_the_end_needs_a_file(tmp_path: Path) -> None:
    data = make_video(tmp_path / "v.mp4").read_bytes()
    with pytest.raises(InputError) as error:
        open_source(through_pipe(tmp_path / "pipe", data))
    assert "faststart" in one_line(error)


@pytest.mark.parametrize(("name", "options"), [("v.mkv", {}), ("v.mp4", {"movflags": "faststart"})])
def test_writer_that_disappears_ends_the_source(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    data = make_video(tmp_path / name, 60, options=options).read_bytes()
    with (
        open_source(through_pipe(tmp_path / "pipe", data[: len(data) * 2 // 3])) as source,
        pytest.raises(InputError, match="truncated"),
    ):
        list(source)


def test_pipe_without_a_writer_raises_within_the_timeout(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="no program writes"):
        open_source(tmp_path / "pipe", timeout_s=0.2)


def test_close_ends_a_blocked_read(tmp_path: Path) -> None:
    data = make_video(tmp_path / "v.ts", 60).read_bytes()
    os.mkfifo(tmp_path / "pipe")
    release = threading.Event()

    def write() -> None:
        with (tmp_path / "pipe").open("wb", buffering=0) as pipe:
            pipe.write(data)
            release.wait(30)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    source = open_source(tmp_path / "pipe")
    threading.Timer(0.5, source.close).start()
    assert len(list(source)) < 60
    release.set()
    writer.join()
