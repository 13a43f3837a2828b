"""Live streams that end: servers that die, freeze, hang up or are done, and damage on the way."""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest
from facesr_edge.engines.errors import InputError, SourceClosedError
from facesr_edge.sdk.cli.main import main
from facesr_edge.sdk.media.live.source import LiveSource
from facesr_edge.sdk.media.sources import Source, open_source
from support.media import encoded, make_video, one_line
from support.servers import MJPEG_HEAD, TcpServer, multipart, rtsp_server

TIMEOUT_S, RTSP_TIMEOUT_S = 1.0, 3.0


def readers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("reader of ")}


@pytest.fixture
def no_readers_left() -> Iterator[None]:
    before = readers()
    yield
    for thread in readers() - before:
        thread.join(3 * RTSP_TIMEOUT_S)
    assert not readers() - before


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """MPEG transport stream of 50 frames."""
    return make_video(tmp_path_factory.mktemp("live") / "v.ts", 50).read_bytes()


def error_after(source: Source, act: Callable[[], None], timeout_s: float = TIMEOUT_S, frames: int = 3) -> str:
    """Iterate, act after some frames, and return the message of the error, which comes within the timeout."""
    start_s = 0.0
    with source, pytest.raises(InputError) as error:
        for count, _ in enumerate(source):
            if count == frames:
                act()
                start_s = time.monotonic()
    assert time.monotonic() - start_s < timeout_s + 1
    assert not source.exhausted
    return one_line(error)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("end", ["kill", "quit", "freeze"])
def test_rtsp_server_that_dies_is_an_error(no_readers_left: None, protocol: Literal["tcp", "udp"], end: str) -> None:
    with rtsp_server() as server:
        source = open_source(server.url, timeout_s=RTSP_TIMEOUT_S, transport=protocol)
        assert server.url in error_after(source, getattr(server, end), RTSP_TIMEOUT_S)


def test_rtsp_server_that_announced_the_duration_may_end(tmp_path: Path) -> None:
    pipeline = "filesrc location={} ! qtdemux ! rtph264pay name=pay0 config-interval=1"
    short, long = make_video(tmp_path / "short.mp4", 50), make_video(tmp_path / "long.mp4", 250)
    with rtsp_server(pipeline.format(short)) as server, open_source(server.url, timeout_s=5) as source:
        assert [frame.index for frame in source][-1] > 40
    assert source.exhausted
    with rtsp_server(pipeline.format(long)) as server:
        error_after(open_source(server.url, timeout_s=RTSP_TIMEOUT_S), server.kill, RTSP_TIMEOUT_S)


def test_command_fails_when_the_server_dies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with rtsp_server() as server:
        threading.Timer(2, server.kill).start()
        with pytest.raises(SystemExit) as done:
            main(["run", server.url, "-o", str(tmp_path / "o.mp4")])
    assert done.value.code == 1
    assert "disconnected" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["mjpeg", "http-ts", "tcp"])
@pytest.mark.parametrize("end", ["hangs up", "stalls"])
def test_server_that_hangs_up_or_stalls_is_an_error(stream: bytes, no_readers_left: None, kind: str, end: str) -> None:
    if kind == "mjpeg":
        server = TcpServer(multipart(encoded(".jpg"), 40), MJPEG_HEAD)
    else:
        server = TcpServer(stream, b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" if kind == "http-ts" else b"")
    scheme = "tcp" if kind == "tcp" else "http"
    source = LiveSource(f"{scheme}://127.0.0.1:{server.port}/", "camera", timeout_s=TIMEOUT_S, keep=1000)
    message = error_after(source, server.hang_up if end == "hangs up" else lambda: None)
    assert "camera disconnected" in message or end == "stalls"


def test_response_of_the_announced_length_is_complete(stream: bytes) -> None:
    head = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\nContent-Length: %d\r\n\r\n" % len(stream)
    with LiveSource(f"http://127.0.0.1:{TcpServer(stream, head).port}/", "camera", keep=1000) as source:
        assert len(list(source)) == 50
    assert source.exhausted


def test_udp_sender_that_stops_is_an_error(stream: bytes, no_readers_left: None) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sending = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not sending.is_set():
                for offset in range(0, len(stream), 1316):
                    sender.sendto(stream[offset : offset + 1316], ("127.0.0.1", port))
                    time.sleep(0.002)

    threading.Thread(target=send, daemon=True).start()
    source = open_source(f"udp://127.0.0.1:{port}", timeout_s=TIMEOUT_S)
    assert "udp://" in error_after(source, sending.set)


def test_pipe_whose_writer_closes_it_is_complete(tmp_path: Path, stream: bytes, no_readers_left: None) -> None:
    os.mkfifo(tmp_path / "pipe")
    threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(stream), daemon=True).start()
    with LiveSource(str(tmp_path / "pipe"), "pipe", keep=1000) as source:
        assert len(list(source)) == 50
    assert source.exhausted


def test_sources_that_are_not_closed_leave_no_threads(stream: bytes, no_readers_left: None) -> None:
    ports = [TcpServer(stream).port for _ in range(5)]
    sources = [open_source(f"tcp://127.0.0.1:{port}", timeout_s=2.5 * TIMEOUT_S) for port in ports]
    frames = [next(iter(source)) for source in sources]
    assert len(readers()) >= 5
    del sources, frames
    gc.collect()


def test_closed_source_ends_its_iterators(stream: bytes) -> None:
    source = LiveSource(f"tcp://127.0.0.1:{TcpServer(stream).port}", "camera", timeout_s=TIMEOUT_S)
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == []
    assert not source.exhausted
    with pytest.raises(SourceClosedError, match="camera is closed"):
        iter(source)


def test_frames_after_damage_are_flagged_until_the_next_key_frame(tmp_path: Path) -> None:
    path = tmp_path / "v.ts"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"g": "10", "bf": "0", "sc_threshold": "0"})
        video.width, video.height = 160, 120
        for seed in range(40):
            noise = np.random.default_rng(seed).integers(0, 256, (120, 160, 3), np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(noise, "bgr24")))
        container.mux(video.encode(None))
    data = path.read_bytes()
    lost = len(data) // 188 * 5 // 8 * 188  # in frame 24 or 25
    path.write_bytes(data[:lost] + data[lost + 188 :])
    with LiveSource(str(path), "camera", keep=1000) as source:
        damaged = [frame.index for frame in source if frame.damaged]
    assert damaged == list(range(damaged[0], 30))
    assert 20 < damaged[0] < 28
    assert source.damaged_frames == len(damaged)
    assert source.damaged_packets > 0


def test_lost_packets_of_a_camera_are_flagged() -> None:
    lossy = CAMERA_OF_MANY_PACKETS + " ! identity name=pay0 drop-probability=0.02"
    with rtsp_server(lossy) as server, LiveSource(server.url, "camera", keep=1000) as source:
        damaged = [frame.damaged for frame, _ in zip(source, range(75), strict=False)]
    assert any(damaged)
    assert source.damaged_frames >= sum(damaged)


CAMERA_OF_MANY_PACKETS = (
    "videotestsrc is-live=true pattern=snow ! video/x-raw,width=160,height=120,framerate=25/1 "
    "! x264enc tune=zerolatency key-int-max=25 ! rtph264pay mtu=300 config-interval=1"
)


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://admin:secret@127.0.0.1:9/live",
        "rtsp://admin:secret@word@127.0.0.1:9/live",
        "rtsp://admin:secret/word@127.0.0.1:9/live",
        "http://127.0.0.1:9/live?user=admin&password=secret",
        "http://127.0.0.1:9/admin?token=secret&x=1",
    ],
)
def test_credentials_are_masked_in_errors_and_their_causes(url: str) -> None:
    with pytest.raises(InputError) as error:
        open_source(url, timeout_s=1)
    assert "admin" in one_line(error)
    raised: BaseException | None = error.value
    while raised is not None:
        assert "secret" not in str(raised)
        raised = raised.__cause__
