"""Exclusive lock on an output: between threads and processes, after a kill, and on file systems without locks."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from facesr_edge.engines.errors import OutputError
from facesr_edge.sdk.media.lock import OutputLock, lock_path
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from support.media import make_image, make_video


def locked(output):
    return OutputLock(output, lock_path(output))


def test_second_lock_is_refused_until_the_first_is_released(tmp_path):
    output = tmp_path / "o.mp4"
    first = locked(output)
    with pytest.raises(OutputError) as error:
        locked(output)
    assert str(error.value) == (
        f"another run (process {os.getpid()}) writes {output}; wait for it or give another output"
    )
    first.release(remove=True)
    assert list(tmp_path.iterdir()) == []
    locked(output).release(remove=True)


def test_lock_of_a_killed_process_is_released(tmp_path):
    script = f"""
        import os, signal
        from pathlib import Path
        from facesr_edge.sdk.media.lock import OutputLock, lock_path
        lock = OutputLock(Path({str(tmp_path / "o.mp4")!r}), lock_path(Path({str(tmp_path / "o.mp4")!r})))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False).returncode == -signal.SIGKILL
    locked(tmp_path / "o.mp4").release(remove=True)


def test_file_system_without_locks_is_noted(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with open_source(make_video(tmp_path / "in.mp4", 3)) as source, open_sink(tmp_path / "o.mp4", source) as sink:
        for frame in source:
            sink.write(frame, frame.pixels)
    assert [note for note in sink.notes if "no locks available" in note]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "o.mp4"]


@pytest.mark.parametrize("output", ["o.png", "out", "o.mp4"])
def test_two_sinks_of_one_output_are_refused(tmp_path, output):
    (tmp_path / "in").mkdir()
    make_image(tmp_path / "in" / "a.png")
    make_video(tmp_path / "in.mp4", 3)
    name = {"o.png": "in/a.png", "out": "in", "o.mp4": "in.mp4"}[output]
    with open_source(tmp_path / name) as source:
        with open_sink(tmp_path / output, source), pytest.raises(OutputError, match="another run"):
            open_sink(tmp_path / output, source)
        open_sink(tmp_path / output, source).close()
    assert not list(tmp_path.rglob(".*"))


def test_long_name_is_locked_and_written(tmp_path):
    """82 characters of 3 bytes: a name of 250 bytes leaves no space for that of a temporary file."""
    name = "猫" * 82
    for suffix in (".png", ".mp4"):
        source_path = make_image(tmp_path / "in.png") if suffix == ".png" else make_video(tmp_path / "in.mp4", 3)
        with open_source(source_path) as source, open_sink(tmp_path / (name + suffix), source) as sink:
            for frame in source:
                sink.write(frame, frame.pixels)
        assert (tmp_path / (name + suffix)).exists()
    assert len(list(tmp_path.iterdir())) == 4


def test_name_that_no_file_can_have_is_refused_before_the_work(tmp_path):
    with (
        open_source(make_image(tmp_path / "in.png")) as source,
        pytest.raises(OutputError, match="too long"),
    ):
        open_sink(tmp_path / ("x" * 253 + ".png"), source)
