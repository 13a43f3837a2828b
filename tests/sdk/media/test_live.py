"""Live streams: dropped frames, timeouts, closing, recording."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest
from facesr_edge.engines.errors import InputError, UsageError
from facesr_edge.sdk.media.live.source import LiveSource
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from support.media import make_video, one_line, timestamps


def serve(data: bytes, rate: float = 0) -> int:
    """Send data to the first TCP client, then keep the connection open; returns the port.

    Args:
        rate: bytes/s; 0 sends at once and then waits for 4 s.
    """
    server = socket.create_server(("127.0.0.1", 0))

    def send() -> None:
        with server, server.accept()[0] as client:
            try:
                for offset in range(0, len(data), 4096):
                    client.sendall(data[offset : offset + 4096])
                    time.sleep(4096 / rate if rate else 0)
                if not rate:
                    time.sleep(4)
            except OSError:
                pass

    threading.Thread(target=send, daemon=True).start()
    return server.getsockname()[1]


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """MPEG transport stream of 250 frames."""
    return make_video(tmp_path_factory.mktemp("live") / "v.ts", 250).read_bytes()


def test_slow_consumer_gets_the_newest_frames(stream: bytes) -> None:
    port = serve(stream, rate=len(stream) / 2)
    frames = []
    with open_source(f"tcp://127.0.0.1:{port}") as source:
        assert source.kind == "live"
        with pytest.raises(InputError, match="disconnected"):
            for frame in source:
                frames.append(frame)
                time.sleep(0.1)
    assert source.dropped > 50
    assert source.dropped + len(frames) == 250
    indexes = [frame.index for frame in frames]
    assert indexes == sorted(set(indexes))
    assert indexes[-1] == 249
    assert frames[-1].time_s - frames[0].time_s > 4, "timestamps are those of the stream"


def test_stalled_stream_raises_within_the_timeout(stream: bytes) -> None:
    port = serve(stream[: len(stream) // 2])
    start = time.monotonic()
    with open_source(f"tcp://127.0.0.1:{port}", timeout_s=1) as source, pytest.raises(InputError) as error:
        for _ in source:
            pass
    assert "127.0.0.1" in one_line(error)
    assert time.monotonic() - start < 4


def test_server_without_data_raises_within_the_timeout() -> None:
    port = serve(b"")
    start = time.monotonic()
    with pytest.raises(InputError) as error:
        open_source(f"tcp://127.0.0.1:{port}", timeout_s=0.5)
    one_line(error)
    assert time.monotonic() - start < 3


def test_close_does_not_wait_for_a_blocked_reader(stream: bytes) -> None:
    port = serve(stream[: len(stream) // 2])
    source = open_source(f"tcp://127.0.0.1:{port}", timeout_s=5)
    next(iter(source))
    start = time.monotonic()
    source.close()
    assert time.monotonic() - start < 1.5


def test_connection_error_masks_the_password() -> None:
    with pytest.raises(InputError) as error:
        open_source("rtsp://admin:secret@127.0.0.1:9/live", timeout_s=1)
    assert "secret" not in one_line(error)
    assert "admin" in one_line(error)


def test_recording_starts_at_time_zero(tmp_path: Path) -> None:
    make_video(tmp_path / "in.mkv", 30, pts=[5000 + 40 * index for index in range(30)])
    live = LiveSource(str(tmp_path / "in.mkv"), "camera", keep=100)
    with live as source, open_sink(tmp_path / "o.mp4", source) as sink:
        for frame in source:
            sink.write(frame, frame.pixels)
    assert timestamps(tmp_path / "o.mp4") == pytest.approx([0.04 * index for index in range(30)], abs=1e-4)


def test_output_of_a_live_source_must_be_a_file(tmp_path: Path) -> None:
    make_video(tmp_path / "in.mkv", 5)
    with LiveSource(str(tmp_path / "in.mkv"), "camera") as source, pytest.raises(UsageError, match=r"output\.mp4"):
        open_sink(tmp_path, source)
