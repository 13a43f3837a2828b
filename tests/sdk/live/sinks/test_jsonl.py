"""JSON lines: complete at any moment, nothing overwritten, log rotation."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from facesr_edge.engines.errors import OutputError, UsageError
from facesr_edge.sdk.live.camera import CameraStatus
from facesr_edge.sdk.live.sinks.jsonl import JsonlSink
from facesr_edge.sdk.live.sinks.queue import SinkQueue
from support.sinks import make_face, make_result, wait_until


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_every_result_is_a_line_between_the_run_and_its_summary(tmp_path):
    path = tmp_path / "new" / "faces.jsonl"
    queue = SinkQueue(JsonlSink(path, {"model": "idrn-x4"}))
    results = [make_result(index, faces=(make_face(),)) for index in range(3)]
    for result in results:
        queue.done(result)
    queue.close()
    first, *frames, last = lines(path)
    assert first["type"] == "run" and first["model"] == "idrn-x4"
    assert frames == [{"type": "frame", **json.loads(json.dumps(result.to_dict()))} for result in results]
    assert last == {"type": "summary", "results": 3, "faces": 3}
    assert [file.name for file in path.parent.iterdir()] == ["faces.jsonl"]


KILLED = """
import sys, pathlib
from facesr_edge.sdk.live.camera import CameraStatus
from facesr_edge.sdk.live.sinks.jsonl import JsonlSink
from facesr_edge.sdk.live.sinks.queue import SinkQueue
sys.path.insert(0, sys.argv[2])
from support.sinks import make_face, make_result
queue = SinkQueue(JsonlSink(pathlib.Path(sys.argv[1]), {}), wait=True)
for index in range(1_000_000):
    queue.done(make_result(index, faces=(make_face(),) * 5))
    print(index, flush=True)
"""


def test_a_killed_run_leaves_whole_lines_and_the_next_one_keeps_them(tmp_path, pytestconfig):
    path, tests = tmp_path / "faces.jsonl", str(pytestconfig.rootpath / "tests")
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path), tests], stdout=subprocess.PIPE)
    wait_until(lambda: path.exists() and path.stat().st_size > 100_000, 30)
    assert lines(path)[0]["type"] == "run"  # readable while it is written
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    killed = path.read_bytes()
    assert killed.endswith(b"\n")
    assert [line["index"] for line in lines(path)[1:]] == list(range(len(lines(path)) - 1))
    SinkQueue(JsonlSink(path, {})).close()
    (kept,) = tmp_path.glob("faces-*.jsonl")
    assert kept.read_bytes() == killed and len(lines(path)) == 2


def test_a_file_that_is_full_is_renamed(tmp_path):
    sink = JsonlSink(tmp_path / "faces.jsonl", {}, max_bytes=1 << 16)
    for index in range(200):
        sink.write(sink.select(make_result(index, faces=(make_face(),))))
    sink.close()
    files = sorted(tmp_path.glob("faces*.jsonl"))
    assert len(files) >= 2 and all(file.stat().st_size < 1.1 * (1 << 16) for file in files)
    parts = [lines(file) for file in files]
    assert all(part[0]["type"] == "run" and part[-1]["type"] == "summary" for part in parts)
    assert sorted(line["index"] for part in parts for line in part if line["type"] == "frame") == list(range(200))


@pytest.mark.parametrize("remove", [False, True])
def test_a_file_that_was_moved_or_removed_is_begun_anew(tmp_path, remove):
    path = tmp_path / "faces.jsonl"
    sink = JsonlSink(path, {})
    sink.write(sink.select(make_result(0)))
    path.unlink() if remove else path.rename(tmp_path / "faces.jsonl.1")
    sink.write(sink.select(make_result(1)))
    sink.close()
    assert [line["index"] for line in lines(path) if line["type"] == "frame"] == [1]
    if not remove:
        assert [line["type"] for line in lines(tmp_path / "faces.jsonl.1")] == ["run", "frame", "summary"]


def test_a_full_disk_loses_counted_lines_and_none_is_cut(tmp_path, no_file_larger_than):
    queue = SinkQueue(JsonlSink(tmp_path / "faces.jsonl", {}), wait=True)
    with no_file_larger_than(5000):
        for index in range(20):
            queue.done(make_result(index, faces=(make_face(),)))
        wait_until(lambda: queue.statistics().queued == 0)
    written, failed = queue.statistics().written, queue.statistics().failed
    assert written > 2 and failed > 2 and "free some space" in queue.statistics().error
    queue.done(make_result(20))
    queue.close()
    frames = [line["index"] for line in lines(tmp_path / "faces.jsonl") if line["type"] == "frame"]
    assert frames == [*range(written), 20]


def test_states_of_cameras_are_lines_too(tmp_path):
    sink = JsonlSink(tmp_path / "faces.jsonl", {})
    status = CameraStatus("door", "offline", "no route to host", 10, 9, {"consumer": 1}, 0, 2, 3.5, None, (640, 360))
    sink.write(sink.select_status(status))
    sink.close()
    line = lines(tmp_path / "faces.jsonl")[1]
    assert (line["type"], line["name"], line["state"], line["error"]) == (
        "camera",
        "door",
        "offline",
        "no route to host",
    )
    assert abs(line["clock_s"] - time.time()) < 60


def test_two_runs_cannot_write_one_file(tmp_path):
    first = JsonlSink(tmp_path / "faces.jsonl", {})
    with pytest.raises(OutputError, match=r"another run .* writes"):
        JsonlSink(tmp_path / "faces.jsonl", {})
    first.close()
    JsonlSink(tmp_path / "faces.jsonl", {}).close()


def test_an_unwritable_place_and_a_wrong_size_are_told_at_once(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*; choose another file"):
        JsonlSink(tmp_path / "file" / "faces.jsonl", {})
    with pytest.raises(UsageError, match="65,536 bytes or more"):
        JsonlSink(tmp_path / "faces.jsonl", {}, max_bytes=100)
