"""``facesr-edge run --resume``: what is resumed, what is not, and what is said."""

import json
import signal
import subprocess
import sys
import time

import av
import cv2
import pytest
from facesr_edge.benchmarks.faults import Kill, run_once

CHUNK = 10


@pytest.fixture
def command(clips, bundle, tmp_path):
    (tmp_path / "out").mkdir()
    return ["run", str(clips(70)), "-o", str(tmp_path / "out" / "o.mp4"), "--model", str(bundle)]


def test_other_option_is_a_usage_error_that_names_it(command, tmp_path):
    assert run_once(command, tmp_path / "log", CHUNK, Kill("encode", 65)) == -signal.SIGKILL
    before = sorted((tmp_path / "out").iterdir())
    assert run_once([*command, "--resume", "--outscale", "3"], tmp_path / "log", CHUNK) == 2
    assert "outscale was 2, now it is 3" in (tmp_path / "log").read_text().splitlines()[-1]
    assert sorted((tmp_path / "out").iterdir()) == before
    assert run_once([*command, "--resume"], tmp_path / "log", CHUNK) == 0
    assert "50 frames are from the stopped run" in (tmp_path / "log").read_text()
    assert "50 from an earlier run" in (tmp_path / "log").read_text()


def test_json_that_the_stopped_run_did_not_write_is_a_usage_error(command, tmp_path):
    assert run_once(command, tmp_path / "log", CHUNK, Kill("encode", 65)) == -signal.SIGKILL
    assert run_once([*command, "--resume", "--json", str(tmp_path / "f.json")], tmp_path / "log", CHUNK) == 2
    assert "wrote no JSON" in (tmp_path / "log").read_text()


def test_without_a_stopped_run_it_starts_anew_and_a_complete_output_is_left_alone(facesr, command, tmp_path):
    result = facesr(*command, "--resume")
    assert result.code == 0 and "there is no stopped run; it starts anew" in result.err
    time_ns = (tmp_path / "out" / "o.mp4").stat().st_mtime_ns
    result = facesr(*command, "--resume")
    assert result.code == 0 and "is complete" in result.err
    assert (tmp_path / "out" / "o.mp4").stat().st_mtime_ns == time_ns
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["o.mp4"]


@pytest.mark.parametrize("output", ["o.gif", "o.avi"])
def test_formats_that_cannot_be_resumed_start_anew(facesr, clips, bundle, tmp_path, output):
    result = facesr("run", clips(12), "-o", tmp_path / output, "--model", bundle, "--resume")
    assert result.code == 0 and "cannot be resumed in this format; it starts anew" in result.err


def test_json_on_standard_output_cannot_be_resumed(facesr, command):
    result = facesr(*command, "--resume", "--json")
    assert result.code == 2 and "give a file" in result.error and result.out == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_stopped_run_goes_on(clips, bundle, tmp_path, number):
    out, faces = tmp_path / "o.mkv", tmp_path / "f.json"
    arguments = ["run", clips(1500), "-o", out, "--json", faces, "--model", bundle]
    command = [sys.executable, "-m", "facesr_edge", *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        journal = tmp_path / ".o.mkv.journal"
        end = time.monotonic() + 60
        while process.poll() is None and not (journal.exists() and b"stamps" in journal.read_bytes()):
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and errors.strip().endswith("; --resume goes on")
    count = len(json.loads(faces.read_text())["frames"])
    assert f"{count} of 1500 frames are in {out}" in errors
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "frames are from the stopped run" in done.stderr
    assert [frame["index"] for frame in json.loads(faces.read_text())["frames"]] == list(range(1500))
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 1500
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.json", "o.mkv"]


def test_inputs_that_are_done_are_not_done_again(clips, bundle, small_frame, tmp_path):
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), small_frame)
    inputs = [*sorted(tmp_path.glob("*.png")), clips(12), clips(70)]
    results = ["--json", tmp_path / "f.json", "--jsonl", tmp_path / "f.jsonl"]
    command = [str(part) for part in ("run", *inputs, "-o", tmp_path / "out", *results, "--model", bundle)]
    assert run_once(command, tmp_path / "log", CHUNK, Kill("encode", 77)) == -signal.SIGKILL
    assert run_once([*command, "--resume"], tmp_path / "log", CHUNK) == 0
    log = (tmp_path / "log").read_text()
    assert "12.mp4 is complete" in log and "50 frames are from the stopped run" in log
    document = json.loads((tmp_path / "f.json").read_text())
    indices = [frame["index"] for frame in document["frames"]]
    assert indices == [0, 1, *range(12), *range(70)]
    lines = [json.loads(line) for line in (tmp_path / "f.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines if line["type"] == "frame"] == indices
    assert not [path for path in tmp_path.rglob(".*") if path.name != "."]


def test_two_runs_of_one_output_are_refused(command, clips, bundle, tmp_path):
    long = ["run", clips(1500), *command[2:]]
    with subprocess.Popen([sys.executable, "-m", "facesr_edge", *map(str, long)], stderr=subprocess.PIPE) as process:
        end = time.monotonic() + 60
        while process.poll() is None and not list((tmp_path / "out").glob("*.partial.mp4")):
            assert time.monotonic() < end
            time.sleep(0.02)
        assert run_once(command, tmp_path / "log", CHUNK) == 1
        process.kill()
    assert f"another run (process {process.pid}) writes" in (tmp_path / "log").read_text()
    assert run_once(command, tmp_path / "log", CHUNK) == 0
