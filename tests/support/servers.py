"""Real servers for the tests of live streams: GStreamer's RTSP server, and sockets that send, stall or hang up."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .numbered_picture import BITS, BLOCK, luma

SYSTEM_PYTHON = "/usr/bin/python3"
PROGRAM = Path(__file__).with_name("rtsp_server.py")
CAMERA = (
    "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=25/1 "
    "! x264enc tune=zerolatency key-int-max=10 ! rtph264pay name=pay0 config-interval=1"
)


@cache
def why_no_rtsp() -> str:
    """Why there is no RTSP server on this machine; "" if there is one."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    try:
        done = subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, text=True, timeout=30)
    except OSError as error:
        return str(error)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def numbered(encoder: str = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25", pay: str = "") -> str:
    """Pipeline of a camera whose pictures carry `picture_numbers`."""
    return f"appsrc name=picture ! {encoder} ! identity name=loss ! {pay or 'rtph264pay config-interval=1'} name=pay0"


def picture_numbers(pixels: np.ndarray) -> tuple[int, int]:
    """Counter of a picture of the server, and the time in ms of `time.monotonic` at which it was made."""
    half = BLOCK // 2
    bits = pixels[[half, BLOCK + half], half : BITS * BLOCK : BLOCK, 1] > 128
    counter, made_ms = (int("".join("1" if bit else "0" for bit in row), 2) for row in bits)
    return counter, made_ms


def picture_error(pixels: np.ndarray) -> float:
    """Mean difference of a picture to the one that its counter stands for, in levels, below the numbers."""
    height, width = pixels.shape[:2]
    sent = np.frombuffer(luma((width, height), picture_numbers(pixels)[0], ()), np.uint8).reshape(height, width)
    expected = np.clip((sent.astype(np.float32) - 16) * (255 / 219), 0, 255)
    return float(np.abs(pixels.mean(2) - expected)[2 * BLOCK :].mean())


class RtspServer:
    """A process that serves a GStreamer pipeline at `url`; a server that was killed can be started again.

    Args:
        pipeline: of GStreamer.
        user, password: asked for by digest authentication; "" for none.
        size_wh, fps: of numbered pictures.
        receives: the pipeline, with the depayloader "depay0", takes what a client publishes.
    """

    def __init__(
        self,
        pipeline: str = CAMERA,
        user: str = "",
        password: str = "",
        size_wh: tuple[int, int] = (320, 240),
        fps: int = 25,
        receives: bool = False,
    ) -> None:
        self._options = {"launch": f"( {pipeline} )", "user": user, "password": password, "size": size_wh, "fps": fps}
        self._options["receives"] = receives
        self.port, self._starts = 0, 0
        self.start()
        credentials = f"{user}:{password}@" if user else ""
        self.url = f"rtsp://{credentials}127.0.0.1:{self.port}/live"

    def start(self) -> None:
        """Start, at the port of before if there was one; the counters of the pictures go on."""
        options = json.dumps({**self._options, "port": self.port, "start": self._starts * 100_000})
        self._starts += 1
        self.process = subprocess.Popen(
            [SYSTEM_PYTHON, str(PROGRAM), options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())

    def command(self, line: str) -> None:
        """See the program."""
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def quit(self) -> None:
        """End in order."""
        assert self.process.stdin
        self.process.stdin.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


@contextmanager
def rtsp_server(pipeline: str = CAMERA, **options: Any) -> Iterator[RtspServer]:
    """A running server, see `RtspServer`; the test is skipped where GStreamer's is not installed."""
    if reason := why_no_rtsp():
        pytest.skip(f"no RTSP server: {reason}")
    server = RtspServer(pipeline, **options)
    try:
        yield server
    finally:
        server.kill()


class TcpServer:
    """Sends data to every client, and then keeps the connection open until `hang_up`.

    Args:
        data: to send.
        head: sent first, after a request was read; b"" without one.
        rate: bytes/s; 0 for all at once.
        port: 0 for a free one.
    """

    def __init__(self, data: bytes, head: bytes = b"", rate: float = 0, port: int = 0) -> None:
        self._data, self._head, self._rate = data, head, rate
        self._hang_up = threading.Event()
        self._clients: set[socket.socket] = set()
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hang_up(self) -> None:
        self._hang_up.set()

    def drop_clients(self) -> None:
        """Disconnect those who are connected; others may connect."""
        for client in list(self._clients):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """Disconnect, and refuse connections."""
        self._hang_up.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.drop_clients()

    def _accept(self) -> None:
        while not self._hang_up.is_set():
            try:
                client = self._socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._clients.add(client)
        with client:
            try:
                if self._head:
                    client.recv(65536)
                    client.sendall(self._head)
                for offset in range(0, len(self._data), 4096):
                    client.sendall(self._data[offset : offset + 4096])
                    time.sleep(4096 / self._rate if self._rate else 0)
                if not self._hang_up.is_set() and client.fileno() >= 0:
                    self._wait(client)
            except OSError:
                pass
            self._clients.discard(client)

    def _wait(self, client: socket.socket) -> None:
        """Keep the connection until `hang_up`, or until either side closes it."""
        client.settimeout(0.1)
        for _ in range(600):
            if self._hang_up.is_set():
                return
            try:
                if not client.recv(4096):
                    return
            except TimeoutError:
                continue


def multipart(jpeg: bytes, count: int) -> bytes:
    """Parts of an MJPEG stream with the boundary "frame"."""
    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
    return (head + jpeg + b"\r\n") * count


MJPEG_HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
