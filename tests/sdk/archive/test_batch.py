"""A batch on this machine: the same outputs as `run`, whatever dies meanwhile."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.archive.batch import batch
from facesr_edge.sdk.archive.storage import STATE
from facesr_edge.sdk.store.open import open_store
from support.archives import CHUNK, FRAMES, SPEC, packets

OUTPUTS = ("lobby.png", "door/night.jpg", "door/clip.mp4")


def run_batch(inputs: Path, output: Path, **options):
    return batch([inputs], output, **{"pipeline": SPEC, "chunk": CHUNK, "recursive": True, "workers": 2, **options})


@pytest.fixture(scope="module")
def finished(archive, tmp_path_factory):
    """Output of two workers, with its summary."""
    output = tmp_path_factory.mktemp("out")
    return output, run_batch(archive, output)


def test_outputs_of_two_workers_equal_those_of_run(finished, reference):
    output, summary = finished
    assert (summary.files, summary.done, summary.frames, summary.complete) == (3, 3, FRAMES + 2, True)
    assert summary.upscaled > 2
    for name in OUTPUTS[:2]:
        assert (output / name).read_bytes() == (reference / name).read_bytes()
    assert packets(output / OUTPUTS[2]) == packets(reference / OUTPUTS[2])


def test_the_report_has_a_line_for_each_file_with_its_hash(finished):
    output, _ = finished
    lines = [json.loads(line) for line in (output / "batch.jsonl").read_text().splitlines()]
    assert [line["type"] for line in lines] == ["batch", "file", "file", "file", "summary"]
    assert {line["output"] for line in lines[1:4]} == set(OUTPUTS)
    for line in lines[1:4]:
        assert line["sha256"] == hashlib.sha256((output / line["output"]).read_bytes()).hexdigest()
    assert lines[-1]["complete"]


def test_only_outputs_and_the_state_are_left(finished):
    output, _ = finished
    left = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert {name for name in left if not name.startswith(STATE)} == {*OUTPUTS, "batch.jsonl"}
    assert all("journal/" in name or name.endswith("batch.json") for name in left if name.startswith(STATE))


def test_a_second_call_does_only_what_is_missing_or_has_changed(archive, finished, tmp_path):
    output, inputs = tmp_path / "out", tmp_path / "in"
    shutil.copytree(archive / "door", inputs / "door", ignore=shutil.ignore_patterns("*.mp4"))
    shutil.copy(archive / "lobby.png", inputs)
    first = run_batch(inputs, output, workers=1)
    assert (first.done, first.earlier) == (2, 0)
    (output / "lobby.png").unlink()
    os.utime(inputs / "door" / "night.jpg", (1, 1))
    shutil.copy(archive / "lobby.png", inputs / "new.png")
    (inputs / "broken.png").write_bytes(b"no picture")
    events: list[str] = []
    second = run_batch(inputs, output, workers=1, on_progress=lambda progress: events.append(progress.event))
    assert (second.done, second.earlier, second.retries, second.complete) == (3, 0, 1, False)
    assert [failure.name for failure in second.failures] == [str(inputs / "broken.png")]
    assert [event for event in events if event] == [f"tried again: {second.failures[0].reason}"]
    (inputs / "broken.png").unlink()
    third = run_batch(inputs, output, workers=1)
    assert (third.done, third.earlier, third.complete, third.workers) == (0, 3, True, ())
    assert (output / "new.png").read_bytes() == (finished[0] / "lobby.png").read_bytes()
    with pytest.raises(UsageError, match="holds a batch with outscale 2, now it is 1"):
        run_batch(inputs, output, pipeline=replace(SPEC, outscale=1))


def test_the_tasks_of_killed_workers_are_done_by_others(archive, finished, tmp_path):
    killed: list[int] = []

    def kill_once(progress):
        for process in psutil.Process().children():
            if progress.frames and not killed and "spawn_main" in " ".join(process.cmdline()):
                killed.append(process.pid)
                process.kill()

    summary = run_batch(archive / "door", tmp_path, workers=1, on_progress=kill_once)
    assert killed
    assert (summary.done, summary.retries, summary.complete) == (2, 1, True)
    assert (tmp_path / "clip.mp4").read_bytes() == (finished[0] / "door" / "clip.mp4").read_bytes()


def test_after_the_driver_is_killed_the_same_command_goes_on(archive, finished, tmp_path):
    names = ("--model", SPEC.model, "--engine", "onnxruntime", "--precision", "fp32", "--min-face", "24")
    command = [
        "-m",
        "facesr_edge",
        "batch",
        str(archive / "door"),
        "-o",
        str(tmp_path),
        "--chunk",
        str(CHUNK),
        "--workers=1",
    ]
    command += names
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.DEVNULL)
    parts = tmp_path / STATE / "parts"
    while not list(parts.rglob("*.json")):  # the first part is done
        assert process.poll() is None
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    psutil.wait_procs(workers, timeout=60)
    assert not any(worker.is_running() for worker in workers)
    again = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "2 of 2 files are done" in again.stdout
    assert f"{FRAMES + 1} frames" in again.stdout or "1 from earlier calls" in again.stdout
    assert (tmp_path / "clip.mp4").read_bytes() == (finished[0] / "door" / "clip.mp4").read_bytes()
    assert not list(parts.rglob("*.*"))


def test_pictures_that_are_done_without_a_store_are_stored_by_a_later_call_and_once(archive, finished, tmp_path):
    output, store = tmp_path / "out", str(tmp_path / "store")
    shutil.copytree(finished[0], output)
    events: list[str] = []
    options = {"workers": 1, "store": store, "on_progress": lambda progress: events.append(progress.event)}
    summary = run_batch(archive, output, **options)
    assert (summary.done, summary.earlier) == (2, 1)  # the video has no faces to store
    assert "2 pictures done again, as the store lacks their faces" in events
    with open_store(store, create=False) as opened:
        faces = opened.statistics().faces
    assert faces == summary.upscaled > 0
    (output / "lobby.png").unlink()
    summary = run_batch(archive, output, **options)
    assert (summary.done, summary.earlier) == (1, 2)
    with open_store(store, create=False) as opened:
        assert opened.statistics().faces == faces
