"""The end of a process while a camera is frozen."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.media import encoded, make_video
from support.servers import MJPEG_HEAD, TcpServer, multipart, rtsp_server

PROGRAM = """
import gc, os, signal, sys, threading, time
from facesr_edge.sdk.media.sources import open_source
source = open_source({url!r}, timeout_s={timeout_s})
frames = iter(source)
next(frames)
os.write(1, b"ready\\n")
sys.stdin.readline()
{end}
"""
ENDS = {
    "regular": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "exception": ("raise ValueError('over')", 1),
    "interrupt": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(10)", -2),
    "iterating": ("threading.Thread(target=list, args=(frames,), daemon=True).start(); time.sleep(0.2)", 0),
    "collected": ("del frames, source; gc.collect()", 0),
    "fork": ("child = os.fork()\nif not child: sys.exit(0)\nassert os.waitpid(child, 0)[1] == 0", 0),
    "late": ("time.sleep(0.65)", 0),
}


@pytest.fixture(scope="module", params=["tcp", "mjpeg"])
def frozen_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A server that stops in the middle of the stream, and keeps the connection."""
    if request.param == "mjpeg":
        return f"http://127.0.0.1:{TcpServer(multipart(encoded('.jpg'), 40), MJPEG_HEAD).port}/"
    data = make_video(tmp_path_factory.mktemp("frozen") / "v.ts", 50).read_bytes()
    return f"tcp://127.0.0.1:{TcpServer(data[: len(data) // 2]).port}"


def start(url: str, end: str, timeout_s: float = 0.7) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(url=url, end=ENDS[end][0], timeout_s=timeout_s)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def test_process_ends_cleanly_while_a_camera_is_frozen(frozen_url: str) -> None:
    ends = [*ENDS] if frozen_url.startswith("tcp") else ["regular", "fork", "late"]
    processes = {end: start(frozen_url, end) for end in ends}
    for end, process in processes.items():
        _, errors = process.communicate("\n", timeout=20)
        assert process.returncode == ENDS[end][1], f"{end}: {errors}"


def test_process_ends_cleanly_while_an_rtsp_server_is_stopped() -> None:
    with rtsp_server() as server:
        processes = {end: start(server.url, end, 3) for end in ("regular", "fork", "iterating")}
        server.freeze()
        time.sleep(0.2)
        for end, process in processes.items():
            _, errors = process.communicate("\n", timeout=20)
            assert process.returncode == 0, f"{end}: {errors}"


def test_process_ends_cleanly_while_nobody_writes_to_a_pipe(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from facesr_edge.sdk.media.live.source import LiveSource\n"
        f"path = {str(tmp_path / 'pipe')!r}\n"
        "os.mkfifo(path)\n"
        "try: LiveSource(path, 'pipe', timeout_s=0.3)\n"
        "except Exception as error: sys.exit(str(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "no answer from pipe" in done.stderr
