"""Runs on a full disk and with limits of the process: one line, and nothing half-written or hidden."""

import os
import resource
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import av
import pytest
from facesr_edge.benchmarks.faults import run_once

CHUNK = 10


def readable(path: Path) -> int:
    """Frames of a video up to where it is cut."""
    count = 0
    with av.open(str(path)) as container, suppress(av.FFmpegError):
        for _ in container.decode(video=0):
            count += 1
    return count


def assert_one_line_and_no_leftovers(folder: Path, log: Path) -> None:
    errors = [line for line in log.read_text().splitlines() if "error:" in line]
    assert len(errors) == 1 and "unexpected" not in errors[0] and "Traceback" not in log.read_text()
    names = sorted(path.name for path in folder.iterdir())
    assert [name for name in names if ".part" in name] == []
    assert all("--resume goes on" in log.read_text() for name in names if name.endswith(".journal"))
    for path in folder.glob("[!.]*.m*"):
        assert f"{readable(path)} of " in log.read_text()


@pytest.mark.parametrize("output", ["o.mp4", "o.mkv"])
@pytest.mark.parametrize("limit_bytes", [2_000, 25_000])
def test_file_size_limit(clip, options, tmp_path, output, limit_bytes):
    (tmp_path / "out").mkdir()
    results = ("--json", str(tmp_path / "out" / "f.json"))
    command = ["run", str(clip), "-o", str(tmp_path / "out" / output), *results, *options, "--outscale", "4"]
    assert run_once(command, tmp_path / "log", CHUNK, limits={resource.RLIMIT_FSIZE: limit_bytes}) == 1
    assert_one_line_and_no_leftovers(tmp_path / "out", tmp_path / "log")
    assert run_once([*command, "--resume"], tmp_path / "log", CHUNK) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["f.json", output]


@pytest.mark.parametrize(
    "limits", [{resource.RLIMIT_NOFILE: 12}, {resource.RLIMIT_AS: 700 << 20}], ids=["files", "memory"]
)
def test_few_files_and_little_memory(clip, options, tmp_path, limits):
    (tmp_path / "out").mkdir()
    command = ["run", str(clip), "-o", str(tmp_path / "out" / "o.mp4"), *options]
    code = run_once(command, tmp_path / "log", CHUNK, limits=limits)
    assert code in (0, 1)
    if code:
        assert_one_line_and_no_leftovers(tmp_path / "out", tmp_path / "log")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs to mount a file system")
def test_full_file_system(clip, options, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "none", str(folder)], check=False)
    if mount.returncode:
        pytest.skip("mounting is not permitted")
    try:
        command = ["run", str(clip), "-o", str(folder / "o.mp4"), *options, "--outscale", "4"]
        assert run_once(command, tmp_path / "log", CHUNK) == 1
        assert_one_line_and_no_leftovers(folder, tmp_path / "log")
    finally:
        subprocess.run(["umount", str(folder)], check=True)
