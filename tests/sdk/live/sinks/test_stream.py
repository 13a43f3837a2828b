"""HLS and RTSP, read back and received by real programs."""

from __future__ import annotations

import logging
import re
import time
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from facesr_edge.engines.errors import OutputError
from facesr_edge.sdk.live.sinks.hls import KEPT, LISTED, HlsSink
from facesr_edge.sdk.live.sinks.live_encoder import LiveEncoder, StreamTarget
from facesr_edge.sdk.live.sinks.queue import SinkQueue
from facesr_edge.sdk.live.sinks.rtsp import RtspSink
from facesr_edge.sdk.media.sources import open_source
from support.servers import rtsp_server
from support.sinks import make_result, wait_until


def decoded(path, format=None, count=None):  # noqa: A002
    """Time and mean level of the first frames, or of all."""
    with av.open(str(path), format=format) as container:
        frames = islice(container.decode(video=0), count)
        return [(float(frame.time or 0), frame.to_ndarray(format="gray").mean()) for frame in frames]


def test_a_player_reads_the_playlist_while_it_is_written(tmp_path):
    sink = HlsSink(tmp_path / "web" / "door.m3u8", "door")
    for index in range(100):
        sink.write([make_result(index, level=2 * index, arrival_s=50 + index / 10)])
    frames = decoded(tmp_path / "web" / "door.m3u8", count=55)  # a player begins three segments before the newest
    times = np.array([time_s for time_s, _ in frames])
    assert np.diff(times) == pytest.approx(0.1, abs=2e-3)
    assert np.diff([level for _, level in frames]) == pytest.approx(2, abs=1.5)
    sink.close()
    assert len(decoded(tmp_path / "web" / "door.m3u8")) == 100
    assert "#EXT-X-ENDLIST" in (tmp_path / "web" / "door.m3u8").read_text()


def test_segments_begin_with_a_picture_and_their_number_is_bounded(tmp_path):
    path = tmp_path / "50% door.m3u8"
    sink = HlsSink(path, "door")
    for index in range(200):
        sink.write([make_result(index, size_wh=(48, 32), arrival_s=index / 2)])
    sink.close()
    segments = sorted(tmp_path.glob("*.ts"))
    assert len(segments) == KEPT and path.read_text().count("#EXTINF:2.000,") == LISTED - 1
    assert f"#EXT-X-MEDIA-SEQUENCE:{re.findall('[0-9]+', segments[-LISTED].name)[-1]}\n" in path.read_text()
    for segment in segments:
        with av.open(str(segment), format="mpegts") as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
        assert packets[0].is_keyframe and len(packets) == 4 and not any(packet.is_corrupt for packet in packets)
    assert len(decoded(path)) == 4 * LISTED


def test_segments_of_a_killed_run_are_removed_and_nothing_else(tmp_path):
    for name in ("door-17.ts", "door-x-1.ts", "yard-17.ts", "door-17.txt"):
        (tmp_path / name).touch()
    sink = HlsSink(tmp_path / "door.m3u8", "door")
    sink.write([make_result()])
    sink.close()
    assert not (tmp_path / "door-17.ts").exists()
    assert {"door-x-1.ts", "yard-17.ts", "door-17.txt"} <= {path.name for path in tmp_path.iterdir()}


def test_two_runs_cannot_write_one_playlist(tmp_path):
    first = HlsSink(tmp_path / "door.m3u8", "door")
    first.write([make_result(index, arrival_s=float(index)) for index in range(9)])
    with pytest.raises(OutputError, match="another run"):
        HlsSink(tmp_path / "door.m3u8", "door")
    assert list(tmp_path.glob("door-*.ts"))
    first.close()
    HlsSink(tmp_path / "door.m3u8", "door").close()


def test_only_its_camera_is_streamed_at_the_size_of_its_first_frame(tmp_path, caplog):
    queue = SinkQueue(HlsSink(tmp_path / "door.m3u8", "door"), wait=True)
    for index, (camera, size) in enumerate([("door", (96, 64)), ("yard", (64, 64)), ("door", (192, 128))]):
        queue.done(make_result(index, camera=camera, size_wh=size, arrival_s=float(index)))
    queue.close()
    assert queue.statistics().written == 2 and "384x256 are scaled to 192x128" in caplog.text
    with av.open(str(tmp_path / "door.m3u8")) as container:
        assert {(frame.width, frame.height) for frame in container.decode(video=0)} == {(192, 128)}


def test_odd_sides_are_padded(tmp_path):
    encoder = LiveEncoder(StreamTarget(str(tmp_path / "a.ts"), "mpegts", {}), (63, 47))
    encoder.write(np.full((47, 63, 3), 200, np.uint8), 0.0)
    encoder.close()
    with av.open(str(tmp_path / "a.ts")) as container:
        (frame,) = container.decode(video=0)
    assert (frame.width, frame.height) == (64, 48) and frame.to_ndarray(format="gray").min() > 190


def test_a_full_disk_is_told_and_the_stream_begins_anew(tmp_path, no_file_larger_than):
    queue = SinkQueue(HlsSink(tmp_path / "door.m3u8", "door"), wait=True)
    for index in range(-25, 0):
        queue.done(make_result(index, level=50, arrival_s=index / 10))
    wait_until(lambda: queue.statistics().queued == 0)
    rng = np.random.default_rng(0)
    with no_file_larger_than(50_000):
        for index in range(30):
            result = make_result(index, arrival_s=index / 10)
            result.source.pixels[:] = rng.integers(0, 255, (64, 96, 3), np.uint8)
            queue.done(result)
        wait_until(lambda: queue.statistics().queued == 0)
        assert queue.statistics().failed >= 1
    for index in range(30, 60):
        queue.done(make_result(index, level=100, arrival_s=index / 10))
    queue.close()
    assert queue.statistics().error == ""
    playlist = (tmp_path / "door.m3u8").read_text()
    assert playlist.count("EXT-X-DISCONTINUITY\n") == 1 and not list(tmp_path.glob(".*"))
    assert decoded(tmp_path / "door.m3u8")[-1][1] == pytest.approx(100, abs=3)


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        HlsSink(tmp_path / "file" / "door.m3u8", "door")


RECEIVER = (
    "rtph264depay name=depay0 ! h264parse ! video/x-h264,stream-format=byte-stream,alignment=au "
    "! filesink location={} buffer-mode=unbuffered sync=false async=false"
)


def send(queue, first, count, pause_s=0.02):
    for index in range(first, first + count):
        queue.done(make_result(index, level=2 * index, arrival_s=index / 25))
        time.sleep(pause_s)


def received(path):
    return [level for _, level in decoded(path, "h264")] if path.exists() and path.stat().st_size else []


def test_an_rtsp_server_receives_what_is_published(tmp_path):
    path = tmp_path / "received.h264"
    with rtsp_server(RECEIVER.format(path), receives=True) as server:
        queue = SinkQueue(RtspSink(server.url, "door"))
        send(queue, 0, 50)
        wait_until(lambda: path.exists() and len(received(path)) >= 45)
        queue.close()
        assert queue.statistics().failed == queue.statistics().dropped == 0 and queue.statistics().written == 50
        levels = received(path)
        assert np.diff(levels).min() > 0 and levels[-1] == pytest.approx(98, abs=3)


def test_a_server_that_was_killed_is_published_to_again(tmp_path, caplog):
    path = tmp_path / "received.h264"
    with rtsp_server(RECEIVER.format(path), receives=True) as server:
        queue = SinkQueue(RtspSink(server.url, "door"))
        send(queue, 0, 20)
        wait_until(lambda: queue.statistics().written >= 15)
        server.kill()
        send(queue, 20, 30)
        wait_until(lambda: "check that the server runs" in queue.statistics().error)
        path.unlink()
        server.start()
        for first in range(50, 500, 10):
            send(queue, first % 120, 10)
            if queue.statistics().error == "" and path.exists() and len(received(path)) >= 5:
                break
        assert len(received(path)) >= 5
        queue.close()
    assert queue.statistics().dropped > 0


def test_a_frozen_server_never_delays_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.live.sinks.rtsp.CONNECT_S", 0.2)
    rng = np.random.default_rng(0)
    noisy = [make_result(index, arrival_s=index / 25) for index in range(40)]
    for result in noisy:
        result.source.pixels[:] = rng.integers(0, 255, (64, 96, 3), np.uint8)
    with rtsp_server(RECEIVER.format(tmp_path / "received.h264"), receives=True) as server:
        queue = SinkQueue(RtspSink(server.url, "door"))
        queue.done(noisy[0])
        wait_until(lambda: queue.statistics().written == 1)
        server.freeze()
        start_s = time.monotonic()
        for result in noisy * 5:
            queue.done(result)
        assert time.monotonic() - start_s < 3
        wait_until(lambda: queue.statistics().error != "" or not feed(queue, noisy), 60)
        start_s = time.monotonic()
        queue.close()
        assert time.monotonic() - start_s < 2


def feed(queue, results):
    if queue.statistics().queued < 4:
        for result in results[:8]:
            queue.done(result)
    return True


def test_wrong_passwords_and_servers_that_are_off_are_told_without_the_password(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "received.h264"
    with rtsp_server(RECEIVER.format(path), user="ann", password="s3cret", receives=True) as server:
        for password, written in (("guess", 0), ("s3cret", 1)):
            queue = SinkQueue(RtspSink(server.url.replace("s3cret", password), "door"))
            queue.done(make_result())
            wait_until(lambda: bool(queue.statistics().error or queue.statistics().written))  # noqa: B023
            assert queue.statistics().written == written and ("401" in queue.statistics().error) == (not written)
            queue.close()
    assert not [text for text in caplog.messages if "guess" in text or "s3cret" in text]
    assert any("rtsp://ann:***@" in text for text in caplog.messages)


def test_failed_connections_leave_nothing_open():
    sink = RtspSink("rtsp://127.0.0.1:9/live", "door")
    counts = []
    for _ in range(20):
        with pytest.raises(OutputError, match="connection refused"):
            sink.write([make_result()])
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert counts[-1] <= counts[2]


def test_a_recording_of_what_was_published_can_be_a_source(tmp_path):
    sink = HlsSink(tmp_path / "door.m3u8", "door")
    for index in range(30):
        sink.write([make_result(index, arrival_s=index / 10)])
    sink.close()
    with open_source(tmp_path / "door.m3u8") as source:
        assert len(list(source)) == 30
