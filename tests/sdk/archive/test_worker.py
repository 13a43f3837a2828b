"""A worker in this process: what it reports while it works, and its temporary files."""

from __future__ import annotations

import subprocess
import sys

import pytest
from facesr_edge.sdk.archive.inputs import find_files
from facesr_edge.sdk.archive.scratch import Scratch
from facesr_edge.sdk.archive.storage import LocalFolder, open_output
from facesr_edge.sdk.archive.tasks import Done, FileTask, PartTask, Split, WorkerSpec
from facesr_edge.sdk.archive.worker import Worker
from facesr_edge.sdk.media.encode_options import EncodeOptions
from support.archives import CHUNK, FRAMES, SPEC


@pytest.fixture
def spec(tmp_path):
    output = str(tmp_path / "out")
    return WorkerSpec(SPEC, SPEC.identity(), output, EncodeOptions(threads=1), chunk=CHUNK)


def test_a_worker_advances_before_it_finishes_a_frame(archive, spec):
    pytest.importorskip("fsspec")
    (clip,) = find_files([f"local://{archive}/door/clip.mp4"], spec.output).files
    with Worker(spec) as worker:
        calls: list[int] = []
        assert isinstance(worker.run(FileTask(clip), calls.append), Split)
        assert calls == [0] * len(calls)
        assert len(calls) > FRAMES  # its packets, and the blocks that were copied
        calls.clear()
        result = worker.run(PartTask(clip, CHUNK, None), calls.append)
    assert isinstance(result, Done)
    assert calls[: CHUNK + 1] == [0] * CHUNK + [1]  # decoded, but of another part
    assert sum(calls) == FRAMES - CHUNK


def test_every_copied_block_is_progress(tmp_path):
    pytest.importorskip("fsspec")
    blocks: list[None] = []
    content = bytes(5 << 19)
    for folder in (LocalFolder(str(tmp_path / "path")), open_output(f"local://{tmp_path}/url")):
        file = tmp_path / "scratch.png"
        file.write_bytes(content)
        if isinstance(folder, LocalFolder):
            (tmp_path / "path").mkdir()
            folder._copy(file, tmp_path / "path" / "a.png", lambda: blocks.append(None))
        else:
            folder.publish(file, "a.png", lambda: blocks.append(None))
        assert not file.exists()
        path = folder.fetch("a.png", tmp_path / "fetched")
        assert path.read_bytes() == content
    folder.fetch("a.png", tmp_path / "fetched", lambda: blocks.append(None))
    assert len(blocks) == 9


def test_the_scratch_folders_of_killed_workers_are_removed_by_the_next_one(tmp_path):
    (tmp_path / "own").mkdir()
    alive = Scratch(tmp_path)
    code = f"""
import os, signal
from pathlib import Path
from facesr_edge.sdk.archive.scratch import Scratch
folder = Scratch(Path({str(tmp_path)!r}))
(folder.path / "in").mkdir()
(folder.path / "in" / "clip.mp4").write_bytes(b"copy")
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert len(list(tmp_path.glob("*/in/clip.mp4"))) == 1
    later = Scratch(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"own", alive.path.name, later.path.name}
    alive.close()
    later.close()
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
