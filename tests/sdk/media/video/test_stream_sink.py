"""Output to standard output and FIFOs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from support.media import audio_packets, convert, make_image, make_video, one_line, pattern, timestamps

SCRIPT = """
    import sys
    from facesr_edge.sdk.media.sinks import open_sink
    from facesr_edge.sdk.media.sources import open_source
    with open_source(sys.argv[1]) as source, open_sink(sys.argv[2], source) as sink:
        for frame in source:
            sink.write(frame, frame.pixels)
"""


def command(source: Path, output: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(SCRIPT), str(source), output]


@pytest.mark.parametrize("output", ["-", "/dev/stdout"])
@pytest.mark.parametrize("to_file", [True, False])
def test_video_is_matroska_on_standard_output(tmp_path: Path, output: str, to_file: bool) -> None:
    make_video(tmp_path / "in.mp4", audio=("aac",))
    with (tmp_path / "o.mkv").open("wb") as file:
        if to_file:
            subprocess.run(command(tmp_path / "in.mp4", output), stdout=file, check=True)
        else:
            file.write(subprocess.run(command(tmp_path / "in.mp4", output), stdout=subprocess.PIPE, check=True).stdout)
    assert timestamps(tmp_path / "o.mkv") == pytest.approx(timestamps(tmp_path / "in.mp4"), abs=0.001)
    written, expected = (audio_packets(tmp_path / name) for name in ("o.mkv", "in.mp4"))
    assert [data for _, data in written] == [data for _, data in expected]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "o.mkv"]


def test_image_is_png_on_standard_output(tmp_path: Path) -> None:
    done = subprocess.run(command(make_image(tmp_path / "in.png"), "-"), stdout=subprocess.PIPE, check=True)
    decoded = cv2.imdecode(np.frombuffer(done.stdout, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoded, pattern())


@pytest.mark.parametrize(("name", "container"), [("o", "matroska"), ("o.mp4", "mov"), ("o.webm", "matroska")])
def test_fifo_takes_the_container_of_its_suffix(tmp_path: Path, name: str, container: str) -> None:
    os.mkfifo(tmp_path / name)
    reader = threading.Thread(target=lambda: (tmp_path / "copy").write_bytes((tmp_path / name).read_bytes()))
    reader.start()
    assert not [note for note in convert(make_video(tmp_path / "in.mp4"), tmp_path / name) if "dropped" in note]
    reader.join()
    assert len(timestamps(tmp_path / "copy")) == 20
    with av.open(str(tmp_path / "copy")) as written:
        assert container in written.format.name


def test_container_that_must_be_sought_is_rejected(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "o.avi")
    with open_source(make_video(tmp_path / "in.mp4", 3)) as source, pytest.raises(UsageError) as error:
        open_sink(tmp_path / "o.avi", source)
    assert "use .mkv" in one_line(error)


def test_reader_that_leaves_raises_broken_pipe(tmp_path: Path) -> None:
    make_video(tmp_path / "in.mp4", 200)
    with subprocess.Popen(
        command(tmp_path / "in.mp4", "-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=False
    ) as process:
        process.stdout.read(100)
        process.stdout.close()
        message = process.stderr.read().decode()
    assert process.returncode == 1
    assert message.rstrip().endswith("BrokenPipeError: [Errno 32] Broken pipe")
