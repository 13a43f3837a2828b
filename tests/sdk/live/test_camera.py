"""`Camera`: frames of files and iterables, counts, states, closing."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.live.camera import Camera, CameraOptions, CameraStatus
from facesr_edge.sdk.media.source_sink import Source
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.pipeline.frame import Frame
from support.media import make_video, pattern
from support.servers import TcpServer

WAIT_S = 10.0


def wait_for(happened: Callable[[], object], limit_s: float = WAIT_S) -> None:
    end_s = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.005)


def frames_of(camera: Camera) -> list[Frame]:
    """All frames until the camera has ended."""
    frames = []

    def ended() -> bool:
        while (frame := camera.take()) is not None:
            frames.append(frame)
        return camera.status().state == "ended"

    wait_for(ended)
    return frames


def balance(status: CameraStatus) -> int:
    """Received frames that are neither taken nor dropped."""
    return status.received - status.taken - sum(status.dropped.values())


def moving(count: int, period_s: float = 0.0) -> Iterator[np.ndarray]:
    for level in range(count):
        yield pattern(level)
        time.sleep(period_s)


@pytest.mark.parametrize("kind", ["path", "text", "source"])
def test_file_loses_no_frame(tmp_path: Path, kind: str) -> None:
    path = make_video(tmp_path / "v.mp4", 20)
    source = {"path": path, "text": str(path), "source": open_source(path)}[kind]
    with Camera(source) as camera:
        assert camera.waits
        frames = frames_of(camera)
        status = camera.status()
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.time_s for frame in frames] == pytest.approx([index / 25 for index in range(20)])
    assert all(frame.arrival_s is not None for frame in frames)
    assert (status.state, status.error, status.received, status.dropped) == ("ended", "", 20, {})
    assert status.size_wh == (64, 48)


def test_iterable_of_arrays_loses_no_frame() -> None:
    with Camera(moving(30), name="mine") as camera:
        frames = frames_of(camera)
    assert [int(frame.pixels[20, 20, 1]) for frame in frames] == list(range(30))
    times_s = [frame.time_s for frame in frames]
    assert times_s == sorted(times_s)


def test_newest_policy_drops_and_counts() -> None:
    with Camera(moving(50, 0.01), CameraOptions(policy="newest")) as camera:
        assert not camera.waits
        frames = []
        while camera.status().state != "ended":
            if frame := camera.take():
                frames.append(frame)
            time.sleep(0.05)
        status = camera.status()
    indexes = [frame.index for frame in frames]
    assert indexes == sorted(set(indexes))
    assert indexes[-1] == 49
    assert status.taken == len(frames) < 30
    assert status.dropped["consumer"] == 50 - len(frames)
    assert balance(status) == 0


def test_error_of_an_iterable_is_the_status() -> None:
    def broken() -> Iterator[np.ndarray]:
        yield pattern()
        raise ValueError("no more at rtsp://me:secret@host/")

    with Camera(broken(), name="mine") as camera:
        assert len(frames_of(camera)) == 1
        error = camera.status().error
    assert error.startswith("mine failed: ")
    assert "secret" not in error


def test_iterable_that_exits_ends_the_camera() -> None:
    def leaving() -> Iterator[np.ndarray]:
        yield pattern()
        raise SystemExit(3)

    with Camera(leaving(), name="mine") as camera:
        assert len(frames_of(camera)) == 1
        assert camera.status().error == "mine failed: 3"


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_listener_that_fails_is_logged_and_stops_nothing(
    caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    def fail(arrival_s: float | None) -> None:
        raise error("of mine")

    refused = Camera("rtsp://127.0.0.1:9/", CameraOptions(reconnect=None), on_change=fail)
    with refused, Camera(moving(5), on_change=fail) as camera:
        assert len(frames_of(camera)) == 5
        wait_for(lambda: refused.state == "ended")
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["on_change failed"] * 2


FORK = """
import os, signal, threading, time
import numpy as np
from facesr_edge.sdk.live.camera import Camera
held, go_on = threading.Event(), threading.Event()
camera = Camera([np.zeros((48, 64, 3), np.uint8)] * 9)
def hold():
    while not camera.status().received:
        time.sleep(0.01)
    with camera._reader.mailbox.changed:
        held.set()
        go_on.wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
if not (child := os.fork()):
    signal.alarm(5)
    status = camera.status()
    assert (camera.take(), camera.state, camera.dropped) == (None, "ended", 0)
    assert "open it in this one" in status.error
    camera.close()
    os._exit(0)
code = os.waitpid(child, 0)[1]
go_on.set()
assert camera.state == "live"
camera.close()
raise SystemExit(code)
"""


def test_forked_child_ends_its_camera_even_if_the_reader_held_its_lock() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


EXIT = """
import time
import numpy as np
from facesr_edge.sdk.live.camera import Camera
def frames():
    try:
        while True:
            yield np.zeros((48, 64, 3), np.uint8)
            time.sleep(0.01)
    finally:
        print("closed", flush=True)
camera = Camera(frames())
while not camera.take():
    time.sleep(0.01)
"""


def test_reader_of_a_file_ends_before_the_process_does() -> None:
    done = subprocess.run([sys.executable, "-c", EXIT], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "closed\n"), done.stderr


def test_error_of_a_file_is_the_status(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"")
    with Camera(tmp_path / "v.mp4") as camera:
        assert frames_of(camera) == []
        assert "is empty" in camera.status().error


def test_close_wakes_a_reader_that_waits_for_its_consumer() -> None:
    released = threading.Event()

    def frames() -> Iterator[np.ndarray]:
        try:
            while True:
                yield pattern()
        finally:
            released.set()

    camera = Camera(frames())
    wait_for(lambda: camera.status().received)
    start_s = time.monotonic()
    camera.close()
    camera.close()
    assert time.monotonic() - start_s < 1
    assert released.is_set()
    assert camera.take() is None
    status = camera.status()
    assert status.state == "ended"
    assert balance(status) == 0


def test_request_stop_waits_for_nothing_and_close_until_its_deadline(tmp_path: Path) -> None:
    data = make_video(tmp_path / "v.ts", 50).read_bytes()
    server = TcpServer(data[: len(data) // 2])  # then silent: the reader is blocked until its timeout
    url = f"tcp://127.0.0.1:{server.port}"
    newest = CameraOptions(policy="newest")
    cameras = [Camera(url, newest), Camera(open_source(url), newest), Camera(open_source(url), newest)]
    wait_for(lambda: all(camera.status().received for camera in cameras))
    time.sleep(0.3)  # the readers have read all
    start_s = time.monotonic()
    for camera in cameras:
        camera.request_stop()
    assert time.monotonic() - start_s < 0.1
    assert [camera.state for camera in cameras] == ["ended"] * 3
    for camera in cameras:
        camera.close(max(0.0, start_s + 0.2 - time.monotonic()))
    assert time.monotonic() - start_s < 0.9
    server.stop()


def test_close_ends_a_source_that_waits_for_its_frames(tmp_path: Path) -> None:
    class Slow(Source):
        kind, name = "video", "slow"
        closed = threading.Event()

        def __iter__(self) -> Iterator[Frame]:
            yield Frame(pattern(), 0, 0.0)
            self.closed.wait(WAIT_S)

        def close(self) -> None:
            self.closed.set()

    before = set(threading.enumerate())
    camera = Camera(Slow())
    wait_for(camera.take)
    camera.close()
    assert not set(threading.enumerate()) - before


def test_frame_that_cannot_be_converted_is_dropped_and_told(tmp_path: Path) -> None:
    path = tmp_path / "v.nut"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb4"  # swscale does not read it
        for index in range(5):
            frame = av.VideoFrame(64, 48, "rgb4")
            frame.pts = index
            container.mux(stream.encode(frame))
    server = TcpServer(path.read_bytes())
    with Camera(f"tcp://127.0.0.1:{server.port}", CameraOptions(policy="wait")) as camera:
        wait_for(lambda: camera.take() or camera.dropped == 5)
        status = camera.status()
    server.stop()
    assert (status.state, status.received, status.taken, status.dropped) == ("live", 5, 0, {"unreadable": 5})
    assert "cannot convert a frame of rgb4" in status.error


def test_state_and_drops_are_those_of_the_status() -> None:
    with Camera(moving(50, 0.01), CameraOptions(policy="newest")) as camera:
        wait_for(lambda: camera.dropped > 10)
        assert camera.state == camera.status().state == "live"
        wait_for(lambda: camera.status().received == 50)
        assert camera.dropped == sum(camera.status().dropped.values()) == 49


def test_cameras_that_are_not_closed_leave_no_threads(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    cameras = [Camera(moving(1000)), Camera(make_video(tmp_path / "v.mp4", 50)), Camera("rtsp://127.0.0.1:9/")]
    while not all(camera.status().received or camera.status().error for camera in cameras):
        time.sleep(0.01)
    assert len(set(threading.enumerate()) - before) == 3
    del cameras
    gc.collect()
    wait_for(lambda: not set(threading.enumerate()) - before)


def test_still_pictures_and_silence_are_frozen() -> None:
    go_on = threading.Event()

    def frames() -> Iterator[np.ndarray]:
        for level in range(10):
            yield pattern(level)
            time.sleep(0.01)
        for _ in range(40):
            yield pattern(9)
            time.sleep(0.02)
        yield pattern(100)
        go_on.wait(WAIT_S)

    with Camera(frames(), CameraOptions(policy="newest", stall_s=0.3, frozen_s=0.3)) as camera:
        seen = []

        def saw(*states: str) -> bool:
            state = camera.status().state
            seen.extend([state] if state != (seen or [""])[-1] else [])
            return tuple(seen[-len(states) :]) == states

        wait_for(lambda: saw("live", "frozen", "live", "frozen"))
        age_s = camera.status().newest_age_s
        assert age_s is not None
        assert age_s > 0.3
        go_on.set()


@pytest.mark.parametrize("wrong", [5.0, None, np.zeros((4, 4, 3), np.uint8)])
def test_other_sources_are_refused(wrong: object) -> None:
    with pytest.raises(UsageError, match="iterable of frames"):
        Camera(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{"stall_s": 0}, {"timeout_s": -1}, {"policy": "oldest"}, {"transport": "http"}], ids=str
)
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        CameraOptions(**options)  # type: ignore[arg-type]


def test_camera_that_is_refused_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with pytest.raises(UsageError, match="detect_source"):
        Camera("rtsp://127.0.0.1:9/", CameraOptions(detect_source="x.mp4"))
    assert not set(threading.enumerate()) - before


def test_frames_of_the_wrong_type_end_the_camera() -> None:
    with Camera([np.zeros((4, 4), np.float32)]) as camera:  # type: ignore[list-item]
        frames_of(camera)
        assert "expected uint8" in camera.status().error
