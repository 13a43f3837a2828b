"""``facesr-edge replay``: tables, JSON, and errors in one line."""

import json
import time

import pytest
from facesr_edge.sdk.live.monitoring.recorder import Recorder
from facesr_edge.sdk.live.replay.recording import read_recording
from facesr_edge.sdk.live.replay.settings import recorded_settings
from support.timed_results import live_face, live_result


@pytest.fixture
def recording(tmp_path):
    """Function: facts of the run -> file of 60 results of two cameras, one face each."""

    def make(**about):
        recorder, start_s = Recorder(tmp_path / "live.rec", about), time.monotonic()
        for n in range(60):
            camera = ("door", "[bold]gate")[n % 2]
            recorder.arrived(camera, start_s + n / 20)
            reason = "new track" if n < 2 else "changed by 4.5 gray levels"
            recorder.done(live_result(camera, start_s + n / 20, 2, 22, [live_face(1, 32, "network", reason)]))
        recorder.close()
        return tmp_path / "live.rec"

    return make


def test_replay_prints_summary_simulation_and_capacity(facesr, recording):
    result = facesr("replay", recording(budget_ms=100.0, model="edge-tiny-x4-camera"))
    assert result.code == 0, result.err
    for text in ("edge-tiny-x4-camera", "door", "[bold]gate", "changed by … gray levels", "recorded", "simulated"):
        assert text in result.out
    assert "capacity of the recorded machine: " in result.out and "error of the age: p50 " in result.out


def test_replay_writes_json(facesr, recording):
    document = json.loads(facesr("replay", recording(budget_ms=100.0), "--json").out)
    assert document["summary"]["total"]["results"] == 60 and document["summary"]["cameras"][0]["name"] == "door"
    rows = document["capacity"]["rows"]
    assert [row["cameras"] for row in rows] == list(range(1, len(rows) + 1))
    assert document["capacity"]["cameras"] == sum(row["fits"] for row in rows) and document["live"] is None
    simulated, recorded = document["replay"]["simulated"], document["replay"]["recorded"]
    assert simulated["age_ms"]["p99"] == pytest.approx(recorded["age_ms"]["p99"], rel=0.2)


def test_cameras_budget_and_speed_can_be_given(facesr, recording):
    path = recording(budget_ms=100.0)

    def capacity(*options):
        return json.loads(facesr("replay", path, "--json", *options).out)["capacity"]

    assert [row["cameras"] for row in capacity("--cameras", 5)["rows"]] == [5]
    slow, fast = (capacity("--cameras", 2, "--speed", speed)["rows"][0]["age_ms"]["p50"] for speed in (0.5, 2))
    assert slow > 2 * fast
    assert capacity("--budget-ms", 400)["budget_ms"] == 400
    assert capacity("--budget-ms", 400)["cameras"] >= capacity()["cameras"]


@pytest.mark.parametrize(("cameras", "expected"), [(2, "2 cameras fit"), (60, "60 cameras do not fit")])
def test_a_given_number_of_cameras_fits_or_does_not(facesr, recording, cameras, expected):
    result = facesr("replay", recording(budget_ms=100.0), "--cameras", cameras)
    assert f"capacity of the recorded machine: {expected}, with p99" in result.out


@pytest.mark.parametrize(
    ("about", "options", "expected"),
    [
        ({"model": "gone"}, [], "the recorded model 'gone' is not on this machine; give it, or one as fast: --model"),
        ({"model": "gone"}, ["--model", "nope"], "nope"),
        ({"model": ["a"]}, [], "model of the recording is ['a'], expected text"),
        ({"engine": "nope"}, [], "nope"),
        ({"precision": "nope"}, [], "nope"),
        ({"threads": 10**9}, [], "expected 0 to 256"),
        ({"outscale": 2.5}, [], "expected 1 to 4"),
        ({"small_model": "nope"}, [], "nope"),
        ({"frames": 0}, [], "expected 1 to 64"),
        ({"frames": 2, "track_model": "gone"}, [], "the recorded track_model 'gone' is not on this machine; copy its"),
    ],
)
def test_a_real_run_has_the_settings_of_the_recording(facesr, recording, about, options, expected):
    path = recording(**{"budget_ms": 100.0, "model": "edge-tiny-x4-camera", "engine": "onnxruntime", **about})
    result = facesr("replay", path, "--live", "--cameras", 1, *options)
    assert result.code and expected in result.error


def test_a_recording_without_a_budget_needs_one(facesr, recording):
    path = recording()
    result = facesr("replay", path)
    assert result.code == 2 and "give --budget-ms" in result.error
    assert facesr("replay", path, "--budget-ms", 100).code == 0


def test_the_recording_of_the_live_command_is_replayed(facesr, clips, tmp_path):
    path = tmp_path / "live.rec"
    quick = ["--engine", "onnxruntime", "--precision", "int8", "--threads", 1, "--small-model", "none", "--outscale", 3]
    quick += ["--frames", 3]
    result = facesr("live", clips(30), "--record", path, "--budget-ms", 250, *quick)
    assert result.code == 0, result.err
    replayed = facesr("replay", path, "--json")
    summary = json.loads(replayed.out)["summary"]
    about = summary["about"]
    assert (about["budget_ms"], about["model"], about["engine"]) == (250, "edge-tiny-x4-camera", "onnxruntime")
    settings = recorded_settings(about)
    assert {name: settings[name] for name in ("engine", "precision", "threads", "outscale", "frames")} == {
        **{"engine": "onnxruntime", "precision": "int8"},
        **{"threads": 1, "outscale": 3, "frames": 3},
    }
    assert settings["track_model"] == "edge-tiny-x4-track"
    assert settings["small_model"] is None and settings["detector"]
    assert summary["total"]["results"] == 30 and summary["notes"] == []
    assert any("network" in name for name in read_recording(path).costs[-1].costs_ms)
    assert "not simulated: the recording is one of files" in replayed.err


def test_a_short_recording_is_summarized_and_not_simulated(facesr, tmp_path):
    recorder = Recorder(tmp_path / "live.rec", {"budget_ms": 100.0})
    recorder.done(live_result("door", time.monotonic(), faces=[live_face()]))
    recorder.close()
    result = facesr("replay", tmp_path / "live.rec", "--json")
    assert result.code == 0 and "not simulated" in result.err
    document = json.loads(result.out)
    assert document["summary"]["total"]["results"] == 1 and document["capacity"] is None


@pytest.mark.parametrize(("content", "expected"), [(None, "no such file"), (b"hello", "is no recording")])
def test_other_files_are_errors_in_one_line(facesr, tmp_path, content, expected):
    path = tmp_path / "other.rec"
    if content is not None:
        path.write_bytes(content)
    result = facesr("replay", path)
    assert result.code == 1 and expected in result.error
