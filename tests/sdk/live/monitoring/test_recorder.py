"""The flight recorder: what is in the file, its size, and what remains of it after a kill or on a full disk."""

import gzip
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from random import Random
from types import SimpleNamespace

import pytest
from facesr_edge.engines.errors import InputError, OutputError, UsageError
from facesr_edge.sdk.live.monitoring.recorder import Recorder, older_part
from facesr_edge.sdk.live.observer import Cycle
from facesr_edge.sdk.live.replay.recording import read_recording
from facesr_edge.sdk.live.replay.simulation import simulate
from facesr_edge.sdk.live.replay.summary import summarize
from facesr_edge.sdk.live.replay.workload import workload_of
from support.timed_results import live_face, live_result, skipped_face


def status(name="door", state="live", **counts):
    values = {"error": "", "received": 0, "dropped": {}, "reconnects": 0, **counts}
    return SimpleNamespace(name=name, state=state, **values)


def lines(path):
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def test_a_recording_holds_times_faces_states_and_cycles(tmp_path):
    start = time.monotonic()
    recorder = Recorder(tmp_path / "live.rec", {"model": "edge-tiny-x4-camera"})
    recorder.describe(budget_ms=100.0)
    recorder.arrived("door", start + 0.25)
    recorder.changed(status(received=7, dropped={"consumer": 2}, reconnects=1))
    faces = [live_face(1, 48), live_face(2, 32, "reused", "still", False)]
    recorder.done(live_result("door", start + 0.25, 5, 20, faces, [skipped_face()], dropped=2))
    recorder.cycled(Cycle(start + 0.255, start + 0.275, ("door",), {"network": 1}, {"upscale": 11.0}, 80.0))
    recorder.close()
    recording = read_recording(tmp_path / "live.rec")
    assert recording.cameras == {0: "door"} and recording.notes == () and recording.lost == 0
    assert recording.head["about"] == {"model": "edge-tiny-x4-camera", "budget_ms": 100.0}
    assert recording.head["machine"]["cores"] >= 1
    (result,) = recording.results
    assert recording.arrivals[0] == pytest.approx([0.25], abs=0.05)
    assert (result.age_ms, result.queue_ms, result.compute_ms) == pytest.approx((25, 5, 20), abs=0.01)
    assert (result.detection, result.megapixels, result.dropped) == ("full", 0.23, 2)
    assert result.stages_ms == {"detect": 8.0, "detect.network": 6.0, "crop": 0.2, "upscale": 11.0}
    treated = [(face.track, face.side, face.treatment, face.reason, face.detected) for face in result.faces]
    assert treated == [
        (1, 48, "network", "new track", True),
        (2, 32, "reused", "still", False),
        (9, 120, "skipped", "too large", True),
    ]
    (state,) = recording.statuses
    assert (state.state, state.received, state.dropped, state.reconnects) == ("live", 7, {"consumer": 2}, 1)
    (cycle,) = recording.cycles
    assert (cycle.cameras, cycle.budget_ms, cycle.stages_ms) == ((0,), 80.0, {"upscale": 11.0})


def test_turns_of_files_have_no_budget(tmp_path):
    recorder, start_s = Recorder(tmp_path / "live.rec"), time.monotonic()
    recorder.cycled(Cycle(start_s, start_s, ("clip.mp4",), {}, {}, math.inf))
    recorder.done(live_result("clip.mp4", start_s))
    recorder.close()
    recording = read_recording(tmp_path / "live.rec")
    assert recording.cycles[0].budget_ms is None and len(recording.results) == 1 and recording.notes == ()


def test_what_cannot_be_written_ends_the_recording_with_a_word(tmp_path, caplog):
    recorder = Recorder(tmp_path / "live.rec")
    recorder.describe(score=math.nan)
    recorder.close()
    assert "the recording ends" in caplog.text


def test_a_recording_has_no_positions_and_no_credentials(tmp_path):
    recorder = Recorder(tmp_path / "live.rec")
    name = "rtsp://admin:secret@host/live?token=abc"
    recorder.changed(status(name, "offline", error=f"{name}: refused"))
    recorder.done(live_result(name, time.monotonic(), faces=[live_face()]))
    recorder.close()
    text = gzip.decompress((tmp_path / "live.rec").read_bytes()).decode()
    assert "secret" not in text and "abc" not in text and "rtsp://admin:***@host/live?token=***" in text
    result = next(record for record in lines(tmp_path / "live.rec") if "result" in record)
    assert result["faces"] == [[1, 32, "network", "new track", True]] and "100.2" not in text


def test_the_parts_stay_within_the_limit_and_hold_the_newest_events(tmp_path, monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.live.monitoring.recorder.FLUSH_S", 0.01)
    path = tmp_path / "live.rec"
    recorder = Recorder(path, {"model": "m"}, max_mb=0.1)
    recorder.changed(status("gate", "frozen"))
    for n in range(12_000):
        faces = [live_face(n * 7919 % 1000, 32, reason=f"over budget: {n * 31 % 97} ms left") for _ in range(3)]
        recorder.done(live_result("door", time.monotonic() - 0.001 * (n * 17 % 50), faces=faces, dropped=n))
        if n % 500 == 0:
            time.sleep(0.05)
    recorder.close()
    parts = [path.stat().st_size, older_part(path).stat().st_size]
    assert sum(parts) < 0.15e6 and recorder.lost == 0
    recording = read_recording(path)
    dropped = [result.dropped for result in recording.results]
    assert dropped == list(range(dropped[0], 12_000)) and dropped[0] > 0
    assert set(recording.cameras.values()) == {"door", "gate"} and recording.head["about"] == {"model": "m"}
    assert [state.state for state in recording.statuses] == ["frozen"]  # from long before the older part


def test_the_recordings_of_earlier_runs_are_kept(tmp_path):
    path = tmp_path / "live.rec"
    for name in ("first", "second", "third"):
        recorder = Recorder(path)
        recorder.done(live_result(name, time.monotonic()))
        recorder.close()
        if name == "first":
            older_part(path).write_bytes(path.read_bytes())
    assert list(read_recording(path).cameras.values()) == ["third"] and not older_part(path).exists()
    earlier = sorted(tmp_path.glob("live-*.rec"), key=lambda file: list(read_recording(file).cameras.values()))
    assert [len(read_recording(file).results) for file in earlier] == [2, 1]  # the first with its older part
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("part", ["live.rec", "live.rec.1"])
@pytest.mark.parametrize("data", [b"my only copy", gzip.compress(b"my only copy", mtime=0), b"\x1f\x8b"])
def test_a_file_that_is_no_recording_is_not_touched(tmp_path, part, data):
    (tmp_path / part).write_bytes(data)
    if data == b"\x1f\x8b":  # of a disk that was full
        Recorder(tmp_path / "live.rec").close()
        assert data in [file.read_bytes() for file in tmp_path.iterdir()]
        return
    with pytest.raises(OutputError, match=f"{part} is no recording, and is not overwritten"):
        Recorder(tmp_path / "live.rec")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [(part, data)]


def test_a_folder_and_a_pipe_are_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(OutputError, match="is no recording"):
            Recorder(tmp_path / name)
    assert (tmp_path / "pipe").is_fifo()


def test_two_runs_do_not_write_the_same_recording(tmp_path):
    path = tmp_path / "live.rec"
    first = Recorder(path)
    with pytest.raises(OutputError, match=r"another run .* writes .*live.rec"):
        Recorder(path)
    first.arrived("door", time.monotonic())
    first.close()
    assert len(read_recording(path).arrivals[0]) == 1
    Recorder(path).close()


WRITER = """
import sys, time
from facesr_edge.sdk.live.monitoring.recorder import Recorder
from support.timed_results import live_face, live_result
recorder = Recorder(sys.argv[1])
for n in range(10**9):
    recorder.done(live_result("door", time.monotonic(), faces=[live_face(n)], dropped=n))
    if n % 10 == 0:
        print(n, flush=True)
    time.sleep(0.001)
"""


@pytest.mark.parametrize("after_s", [0.05, 0.4, 0.9])
def test_a_killed_process_leaves_all_but_the_last_moment(tmp_path, after_s):
    path = tmp_path / "live.rec"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        process.stdout.readline()
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        last = int([line for line in process.stdout.read().split("\n") if line][-1])
    recording = read_recording(path)
    dropped = [result.dropped for result in recording.results]
    assert dropped == list(range(len(dropped))) and recording.notes == ()
    assert (
        len(dropped) >= last - 500
    )  # at most what came in the last quarter of a second, and twice that on a slow disk


def test_a_full_disk_ends_the_recording_and_not_the_run(tmp_path, no_file_larger_than, caplog):
    path = tmp_path / "live.rec"
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    recorder = Recorder(path)
    with no_file_larger_than(path.stat().st_size + 100):
        for n in range(300):
            recorder.done(live_result("door", time.monotonic(), faces=[live_face(n)]))
        recorder.close()
    recorder.done(live_result("door", time.monotonic()))
    assert "live.rec: the recording ends" in caplog.text and "rtsp" not in caplog.text

    assert read_recording(path).head["about"] == {}


def test_events_beyond_what_may_wait_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.live.monitoring.recorder.MAX_WAITING", 10)
    recorder = Recorder(tmp_path / "live.rec")
    for n in range(100):
        recorder.arrived("door", time.monotonic() + n)
    recorder.close()
    recording = read_recording(tmp_path / "live.rec")
    assert recording.lost == recorder.lost > 0 and len(recording.arrivals[0]) + recorder.lost == 100


@pytest.mark.parametrize("keep", [200, 400, -1, -20])
def test_a_truncated_file_is_read_up_to_its_end(tmp_path, keep):
    recorder = Recorder(tmp_path / "live.rec")
    for n in range(500):
        recorder.done(live_result("door", time.monotonic(), faces=[live_face(n * 7919 % 503)], dropped=n))
    recorder.close()
    (cut := tmp_path / "cut.rec").write_bytes((tmp_path / "live.rec").read_bytes()[:keep])
    if keep == 200:
        with pytest.raises(InputError, match="is no recording"):
            read_recording(cut)
        return
    dropped = [result.dropped for result in read_recording(cut).results]
    assert dropped == list(range(len(dropped)))
    assert len(dropped) > 400 or keep > 0


def test_a_damaged_file_is_read_up_to_the_damage(tmp_path):
    recorder = Recorder(tmp_path / "live.rec")
    for n in range(2000):
        recorder.done(live_result("door", time.monotonic(), faces=[live_face(n * 7919 % 2003)], dropped=n))
    recorder.close()
    data = bytearray((tmp_path / "live.rec").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    (tmp_path / "bad.rec").write_bytes(data)
    recording = read_recording(tmp_path / "bad.rec")
    assert len(recording.results) < 2000 and "what follows was ignored" in recording.notes[0]


NEWER = '{"format": "facesr-edge recording", "version": 9, "run": "a", "about": {}, "machine": {}, "started_unix_s": 1'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is no recording"),
        ("{}", "is no recording"),
        (f"{NEWER}}}", "has format 9"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, text, expected):
    (tmp_path / "a.rec").write_bytes(gzip.compress(f"{text}\n".encode()))
    with pytest.raises(InputError, match=expected):
        read_recording(tmp_path / "a.rec")
    (tmp_path / "b.rec").write_text(text)
    with pytest.raises(InputError, match="is no recording"):
        read_recording(tmp_path / "b.rec")
    with pytest.raises(InputError, match="no such file"):
        read_recording(tmp_path / "none.rec")


def test_a_recording_into_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(OutputError, match="choose another folder"):
        Recorder(tmp_path / "none" / "live.rec")
    with pytest.raises(UsageError, match=r"expected 0\.1 or more"):
        Recorder(tmp_path / "live.rec", max_mb=0)


def test_a_result_costs_at_most_50_us(tmp_path):
    recorder = Recorder(tmp_path / "live.rec")
    result = live_result("door", time.monotonic(), faces=[live_face(n) for n in range(5)])

    def cost_us(count=300):
        start = time.perf_counter()
        for _ in range(count):
            recorder.done(result)
        return 1e6 * (time.perf_counter() - start) / count

    assert min(cost_us() for _ in range(5)) < 50
    recorder.close()


VALUES = ["null", "-1", "1e400", "NaN", '"x"', "[]", "{}", "[[1]]", "true", "99999999999999999999999", '"\\u001b[31m"']


@pytest.mark.parametrize("seed", range(40))
def test_an_altered_recording_is_read_or_refused(tmp_path, seed):
    """A recording may come from a stranger: any value of any line replaced, or any byte of the file."""
    random, start_s = Random(seed), time.monotonic()
    recorder = Recorder(tmp_path / "live.rec", {"budget_ms": 100.0})
    recorder.changed(status())
    for n in range(25):
        recorder.arrived("door", start_s + n / 10)
        recorder.done(live_result("door", start_s + n / 10, faces=[live_face()], skipped=[skipped_face()]))
    recorder.cycled(Cycle(start_s, start_s + 0.1, ("door",), {}, {"upscale": 1.0}, 50.0))
    recorder.close()
    path, data = tmp_path / "altered.rec", bytearray((tmp_path / "live.rec").read_bytes())
    if seed % 3:
        text = gzip.decompress(bytes(data)).decode()
        places = [match.span() for match in re.finditer(r'(?<=[:,\[])(-?[\d.]+|"[^"]*"|null|true|\{\}|\[\])', text)]
        begin, end = random.choice(places)
        path.write_bytes(gzip.compress((text[:begin] + random.choice(VALUES) + text[end:]).encode()))
    else:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        path.write_bytes(data)
    with suppress(InputError):
        recording = read_recording(path)
        json.dumps(summarize(recording).to_dict(), allow_nan=False)
        simulate(workload_of(recording), 100.0, seeds=1)
