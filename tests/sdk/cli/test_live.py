"""`facesr-edge live`: cameras and files from the command line or a file, until they end or the user stops."""

import json
import os
import pty
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import facesr_edge
import numpy as np
import pytest
from facesr_edge.sdk.cli.console import Stop
from facesr_edge.sdk.cli.live.run import LogDisplay, run_until_stopped
from facesr_edge.sdk.live.monitoring.monitor import Monitor
from facesr_edge.sdk.live.service.service import Service
from facesr_edge.sdk.live.service.systemd import ServiceNotifier
from support.servers import TcpServer, rtsp_server

SAMPLE = Path(__file__).parents[3] / "samples" / "cameras.yaml"
FAST = ("--engine", "onnxruntime", "--precision", "fp32", "--small-model", "none", "--threads", "1")
"""Options that need no measurement."""
MODEL = ("--model", "edge-nano-x4-camera", *FAST)
PASSWORD = "hunter2"


@pytest.fixture
def cameras(tmp_path):
    """Function: text -> file of cameras."""

    def write(text):
        path = tmp_path / "cameras.yaml"
        path.write_text(text, "utf-8")
        return path

    return write


@contextmanager
def process(*arguments, environment=(), **streams):
    """A running command; killed at the end."""
    command = [sys.executable, "-m", "facesr_edge", "live", *map(str, arguments)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **dict(environment)}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **streams}
    with subprocess.Popen(command, env=environment, **streams) as running:
        try:
            yield running
        finally:
            running.kill()


def read_until(stream, text):
    """Lines of a stream up to one that has a text."""
    lines = []
    for line in stream:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError("".join(lines))


def drain(receiver):
    """Messages that have come."""
    receiver.setblocking(False)
    messages = []
    with suppress(BlockingIOError):
        while True:
            messages.append(receiver.recv(4096).decode())
    return messages


def test_files_are_processed_to_their_end_without_a_loss(facesr, clips, tmp_path):
    result = facesr(
        "live", clips(12), clips(7), *MODEL, "--json", tmp_path / "s.json", "--record", tmp_path / "run.rec"
    )
    assert result.code == 0 and result.out.startswith("2 cameras, 19 frames, 19 faces ("), result
    summary = json.loads((tmp_path / "s.json").read_text())
    assert [camera["results"] for camera in summary["cameras"]] == [12, 7]
    assert all(camera["dropped"] == {} and camera["state"] == "ended" for camera in summary["cameras"])
    assert sum(sum(camera["faces"].values()) for camera in summary["cameras"]) == 19
    assert (tmp_path / "run.rec").stat().st_size > 200


def test_outputs_of_files_have_every_result(facesr, clips, cameras, tmp_path):
    path = cameras(f"cameras:\n  gate: {clips(12)}\n  yard: {clips(7)}\noutputs: [{tmp_path}/faces.jsonl]")
    (tmp_path / "shots").mkdir()
    result = facesr("live", path, *MODEL, "-o", tmp_path / "a.jsonl", "-o", f"{tmp_path}/{{camera}}.mkv")
    assert result.code == 0 and "note: " not in result.err and not (tmp_path / "faces.jsonl").exists()
    records = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    frames = [(record["camera"], record["index"]) for record in records if "index" in record]
    assert sorted(frames) == [*(("gate", n) for n in range(12)), *(("yard", n) for n in range(7))]
    for name, count_ in (("gate", 12), ("yard", 7)):
        with facesr_edge.open_source(tmp_path / f"{name}.mkv") as video:
            assert video.size_wh == (320, 240) and sum(1 for _ in video) == count_
    assert facesr("live", path, *MODEL).code == 0 and (tmp_path / "faces.jsonl").exists()


def test_a_file_of_cameras_runs_and_options_replace_its_values(facesr, clips, cameras):
    text = f"cameras:\n  gate: {clips(3)}\n  yard: {{url: {clips(2)}}}\nmodel: edge-tiny-x4\nlog_level: warning\n"
    path = cameras(text)
    result = facesr("live", path, *MODEL, "--json", "--log-level", "info")
    assert result.code == 0 and [camera["name"] for camera in json.loads(result.out)["cameras"]] == ["gate", "yard"]
    assert "2 cameras · edge-nano-x4-camera · budget" in result.err and "INFO camera gate is live" in result.err


def test_cameras_on_the_command_line_need_no_extra(clips, tmp_path):
    missing = ["yaml", "starlette", "uvicorn", "prometheus_client", "paho", "selenium", "opentelemetry", "supervision"]
    program = (
        f"import sys\nfor name in {missing}: sys.modules[name] = None\n"
        "from facesr_edge.sdk.cli.main import main\nmain(sys.argv[1:])"
    )
    command = [sys.executable, "-c", program, "live", str(clips(3)), *MODEL]
    done = subprocess.run([*command, "-o", tmp_path / "faces.jsonl"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith("1 camera, 3 frames"), done.stderr
    done = subprocess.run([*command, "--port", "0"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "pip install 'facesr-edge[cameras]'" in done.stderr.splitlines()[-1]


def test_check_prints_what_would_run_without_passwords(facesr, monkeypatch):
    monkeypatch.setenv("GATE_PASSWORD", PASSWORD)
    monkeypatch.setenv("YARD_PASSWORD", PASSWORD)
    result = facesr("live", SAMPLE, "--check", "--budget-ms", "50", "--transport", "tcp", "--port", "0")
    assert result.code == 0 and PASSWORD not in result.out + result.err
    assert "gate rtsp://viewer:***@192.0.2.10/main transport=tcp" in result.out and "budget_ms: 50.0" in result.out
    document = json.loads(facesr("live", SAMPLE, "--check", "--json", "--port", "0").out)
    assert document["cameras"][1]["options"]["detect_source"] == "rtsp://viewer:***@192.0.2.11/sub"
    assert document["web"] == {"host": "127.0.0.1", "port": 0, "token_file": None, "hosts": []}


def test_every_problem_of_a_file_is_listed(facesr, cameras):
    result = facesr("live", cameras(f"cameras: {{a: 'rtsp://u:{PASSWORD}@h', b: 1}}\nmodle: 1\nfps: x\n"))
    assert result.code == 2 and "cameras.yaml has 2 problems" in result.error and PASSWORD not in result.err
    first, second, _ = result.err.splitlines()
    assert first.startswith("cameras.yaml:2:1: unknown key 'modle'; did you mean 'model'?")
    assert second == "cameras.yaml:3:6: fps: expected frames/s above 0, or null, got 'x'"
    assert facesr("live", cameras("cameras: {a: 0}\nfps: x")).error.startswith("cameras.yaml:2:6: fps: expected")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'SOURCE...|cameras.yaml'"),
        (["cameras.yaml", "0"], "cameras.yaml is a file of cameras, which has to be the only source"),
        (["a", "b", "--detect-source", "c"], "--detect-source is for one camera"),
        (["a", "b", "a"], "a is given twice; leave one out"),
        (["a", "--transport", "tpc"], "'tpc' is not one of 'auto', 'tcp', 'udp'"),
        (["a", "--budget-ms", "0"], "0 is not in the range x>0"),
        (["a", "--model", "idrn-x5"], "unknown model 'idrn-x5'; did you mean 'idrn-x"),
        (["a", "--frames", "0"], "0 is not in the range x>=1"),
        (["a", "--frames", "8"], "frames is 8, but edge-tiny-x4-track takes at most 7 crops of a face"),
        (["a", "--frames", "2", "--model", "edge-tiny-x2"], "expected a track_model of x2"),
        (["a", "--frames", "2", "--track-model", "idrn-x5"], "unknown model 'idrn-x5'"),
        (["a", "--port", "0", "--host", "0.0.0.0"], "a web page at 0.0.0.0 needs a token; name a file for it"),
        (
            ["a", "--check", "--port", "0", "--host", "0.0.0.0"],
            "a web page at 0.0.0.0 needs a token; name a file for it",
        ),
        (["a", "--check", "--detector", "nope"], "unknown model 'nope'; known: "),
        (["a", "--prot", "0"], "No such option"),
        (["a", "-o", "nosuch://b"], "unknown output nosuch://b; give one like faces.jsonl, "),
        (["a", "b", "-o", "out.mp4"], "out.mp4 holds one camera, got 2; put {camera} into its name"),
    ],
)
def test_usage_errors_exit_with_2(facesr, arguments, message):
    result = facesr("live", *arguments)
    assert result.code == 2 and message in result.error


def test_check_refuses_a_file_whose_page_has_no_token(facesr, cameras):
    path = cameras("cameras: {a: 0}\nweb: {host: 0.0.0.0}")
    result = facesr("live", path, "--check")
    assert result.code == 2 and "a web page at 0.0.0.0 needs a token" in result.error
    assert facesr("live", path, "--check", "--token-file", "token").code == 0 and not Path("token").exists()


def test_a_missing_file_of_cameras_exits_with_1(facesr, tmp_path):
    result = facesr("live", tmp_path / "cameras.yaml")
    assert result.code == 1 and "cannot be read: no such file or directory" in result.error


def test_cameras_that_all_fail_exit_with_1(facesr, tmp_path):
    result = facesr("live", tmp_path / "a.mp4", tmp_path / "b.mp4", *MODEL)
    assert result.code == 1 and "a.mp4 does not exist" in result.error and "b.mp4 does not exist" in result.error
    assert result.out.startswith("2 cameras, 0 frames, 0 faces")


def test_a_refused_password_exits_with_3_so_that_a_service_does_not_try_it_for_ever(facesr, tmp_path):
    server = TcpServer(b"", b"HTTP/1.0 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
    url = f"http://viewer:{PASSWORD}@127.0.0.1:{server.port}/live"
    result = facesr("live", tmp_path / "a.mp4", url, *MODEL)
    assert result.code == 3 and "refuses access" in result.error and "a.mp4 does not exist" in result.error
    assert PASSWORD not in result.err


def test_one_camera_that_fails_does_not_stop_the_others(facesr, clips, tmp_path):
    result = facesr("live", tmp_path / "a.mp4", clips(4), *MODEL)
    assert result.code == 0 and result.out.startswith("2 cameras, 4 frames")
    assert "note: " in result.err and "a.mp4 does not exist" in result.err.splitlines()[-1]


def test_an_unusable_token_file_is_reported_before_the_start(facesr, tmp_path):
    (tmp_path / "short").write_text("abc\n")
    result = facesr("live", "0", "--port", "0", "--token-file", tmp_path / "no" / "token")
    assert result.code == 1 and "cannot be used: no such file or directory" in result.error


def test_a_service_of_cameras_from_start_to_stop(cameras, tmp_path):
    """The unit of systemd: READY after the start, WATCHDOG while the scheduler turns, exit code 0 after SIGTERM."""
    notify, token = tmp_path / "notify", tmp_path / "token"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, rtsp_server() as server:
        systemd.bind(str(notify))
        systemd.settimeout(60)
        path = cameras(f"cameras:\n  gate: {server.url.replace('://', '://viewer:${PASSWORD}@')}\n")
        options = (*MODEL, "--port", "0", "--host", "0.0.0.0", "--token-file", token)
        environment = {"NOTIFY_SOCKET": str(notify), "WATCHDOG_USEC": "2000000", "PASSWORD": PASSWORD}
        with process(path, *options, environment=environment) as running:
            page = read_until(running.stderr, "web page: ")[-1].split()[-1]
            assert systemd.recv(4096).decode().startswith("READY=1\nSTATUS=")
            early = read_until(running.stderr, "camera gate is live")
            asked = urllib.request.Request(
                page + "metrics", headers={"Authorization": f"Bearer {token.read_text().strip()}"}
            )
            assert b'camera="gate"' in urllib.request.urlopen(asked, timeout=10).read()
            assert json.load(urllib.request.urlopen(page + "healthz", timeout=10)) == {"healthy": True}
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(page + "metrics", timeout=10)
            messages = [systemd.recv(4096).decode() for _ in range(3)]
            start = time.monotonic()
            running.terminate()
            out, err = running.communicate(timeout=20)
            stopped_s = time.monotonic() - start
        messages += drain(systemd)
    assert running.returncode == 0 and out.startswith("1 camera, "), err
    assert {"WATCHDOG=1", "STOPPING=1"} <= {*messages} and any(message.startswith("STATUS=") for message in messages)
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert PASSWORD not in "".join(early) + out + err and token.read_text().strip() not in "".join(early) + out + err
    assert stopped_s < 10  # 1 s, and the end of the interpreter on a busy machine


def test_a_camera_that_refuses_connections_is_waited_for():
    with process("rtsp://127.0.0.1:9/live", *MODEL) as running:
        read_until(running.stderr, "WARNING camera rtsp://127.0.0.1:9/live is offline")
        assert running.poll() is None
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)
    assert running.returncode == 0 and out.startswith("1 camera, 0 frames, 0 faces, ")
    assert "note: rtsp://127.0.0.1:9/live: " in err


def test_a_terminal_gets_a_table_that_is_refreshed_in_place(clips):
    control, terminal = pty.openpty()
    environment = {"TERM": "xterm", "COLUMNS": "150", "LINES": "40"}
    with process(clips(25), *MODEL, environment=environment, stderr=terminal) as running:
        os.close(terminal)
        shown = b""
        while select.select([control], [], [], 60)[0]:
            try:
                shown += os.read(control, 65536)
            except OSError:  # the process has ended
                break
        assert running.wait(20) == 0 and running.stdout.read().startswith("1 camera, 25 frames")
    os.close(control)
    text = shown.decode()
    assert all(name in text for name in ("camera", "state", "fps", "age", "network", "reused", "drops")), text
    assert text.count("fps") >= 2 and "\x1b[1A" in text  # refreshed, one line up at a time


def test_a_scheduler_that_hangs_is_not_reported_alive(tmp_path):
    hangs, go_on, frames = threading.Event(), threading.Event(), count()

    class Hangs(facesr_edge.Observer):
        def cycled(self, cycle):
            if next(frames) == 3:
                hangs.set()
                go_on.wait(60)

    monitor, stop = Monitor(), Stop(lambda: None)
    pictures = (np.full((120, 160, 3), n % 256, np.uint8) for n in count())
    options = {"model": "edge-nano-x4-camera", "small_model": None, "engine": "onnxruntime", "precision": "fp32"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        notifier = ServiceNotifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"})
        with facesr_edge.live(pictures, observers=[monitor, Hangs()], **options) as live:
            service = Service(live, monitor)
            running = threading.Thread(target=run_until_stopped, args=(service, notifier, LogDisplay(), stop))
            running.start()
            assert hangs.wait(60)
            time.sleep(1)  # until the last message before that is sent
            before = drain(systemd)
            time.sleep(1)
            assert before[0].startswith("READY=1") and "WATCHDOG=1" not in drain(systemd)
            go_on.set()
            time.sleep(1)
            assert "WATCHDOG=1" in drain(systemd)
            stop.requested = True
            running.join(10)
            assert not running.is_alive()
