"""`Camera` with a real RTSP server: reconnection, states, order and counts, a second stream, clocks."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from facesr_edge.sdk.live.camera import Camera, CameraOptions
from facesr_edge.sdk.media.live.reconnect import Reconnect
from facesr_edge.sdk.pipeline.frame import Frame
from support.media import encoded
from support.servers import (
    MJPEG_HEAD,
    RtspServer,
    TcpServer,
    multipart,
    numbered,
    picture_error,
    picture_numbers,
    rtsp_server,
)

TIMEOUT_S = 1.5
OPTIONS = CameraOptions(timeout_s=TIMEOUT_S, stall_s=0.8)


class Watched:
    """A camera whose frames are taken in a thread, and whose states are written down."""

    def __init__(self, server: RtspServer, options: CameraOptions = OPTIONS) -> None:
        self.camera, self.server = Camera(server.url, options), server
        self.frames: list[Frame] = []
        self.states: list[str] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def wait_for(self, *states: str, limit_s: float = 12.0) -> float:
        """Wait until the last states are these; returns how long it took in seconds."""
        start_s = time.monotonic()
        while tuple(self.states[-len(states) :]) != states:
            assert time.monotonic() - start_s < limit_s, f"{self.states}, {self.camera.status()}"
            time.sleep(0.01)
        return time.monotonic() - start_s

    @property
    def counters(self) -> list[int]:
        return [picture_numbers(frame.pixels)[0] for frame in self.frames]

    def close(self) -> None:
        self._done.set()
        self._thread.join()
        self.camera.close()

    def _watch(self) -> None:
        while not self._done.wait(0.004):
            if frame := self.camera.take():
                self.frames.append(frame)
            state = self.camera.status().state
            if self.states[-1:] != [state]:
                self.states.append(state)


@contextmanager
def watched(options: CameraOptions = OPTIONS, **server_options: int) -> Iterator[Watched]:
    with rtsp_server(numbered(), **server_options) as server:
        watch = Watched(server, options)
        try:
            watch.wait_for("connecting", "live")
            yield watch
        finally:
            watch.close()


def test_server_that_is_killed_and_started_again() -> None:
    with watched() as watch:
        for _ in range(3):
            time.sleep(0.3)
            watch.server.kill()
            watch.wait_for("live", "offline")
            assert "disconnected" in watch.camera.status().error
            time.sleep(0.2)
            watch.server.start()
            assert watch.wait_for("offline", "live") < 2.5
        time.sleep(0.2)
    status = watch.camera.status()
    assert watch.states == ["connecting", "live", *["offline", "live"] * 3]
    assert status.reconnects == 3
    assert watch.counters == sorted(set(watch.counters))
    indexes, times_s = [frame.index for frame in watch.frames], [frame.time_s for frame in watch.frames]
    assert indexes == sorted(set(indexes))
    assert times_s == sorted(set(times_s))
    arrivals_s = [frame.arrival_s or 0.0 for frame in watch.frames]
    assert times_s[-1] - times_s[0] == pytest.approx(arrivals_s[-1] - arrivals_s[0], abs=2.5), "the gaps count"
    assert status.taken == len(watch.frames)
    assert status.received == status.taken + sum(status.dropped.values())


def test_server_that_freezes_is_frozen_then_offline_then_live() -> None:
    with watched() as watch:
        watch.server.freeze()
        assert OPTIONS.stall_s - 0.2 < watch.wait_for("live", "frozen") < OPTIONS.stall_s + 0.5
        watch.wait_for("frozen", "offline")
        assert "no data" in watch.camera.status().error
        time.sleep(0.5)
        watch.server.thaw()
        watch.wait_for("offline", "live")
        assert watch.camera.status().error == ""


def test_still_picture_is_frozen_although_frames_come() -> None:
    with watched(CameraOptions(timeout_s=TIMEOUT_S, frozen_s=1.5)) as watch:
        watch.server.command("still")
        watch.wait_for("live", "frozen")
        fps, age_s = watch.camera.status().fps, watch.camera.status().newest_age_s
        assert fps is not None
        assert fps > 15
        assert age_s is not None
        assert age_s < 0.5
        watch.server.command("moving")
        watch.wait_for("frozen", "live")


def test_resolution_changes_while_frames_come() -> None:
    with watched() as watch:
        watch.server.command("size 640 480")
        end_s = time.monotonic() + 10
        while watch.camera.status().size_wh != (640, 480) and time.monotonic() < end_s:
            time.sleep(0.01)
        time.sleep(0.3)
    assert {frame.pixels.shape for frame in watch.frames} == {(240, 320, 3), (480, 640, 3)}
    assert watch.counters == sorted(set(watch.counters))
    assert watch.camera.status().reconnects == 0


@pytest.mark.parametrize("deliver", [False, True], ids=["dropped", "flagged"])
def test_frames_after_a_loss_are_wrong_until_the_next_key_frame(deliver: bool) -> None:
    with watched(CameraOptions(deliver_damaged=deliver)) as watch:
        for _ in range(3):
            watch.server.command("lose 2")
            time.sleep(1.0)
    status = watch.camera.status()
    wrong = [frame.damaged for frame in watch.frames if picture_error(frame.pixels) > 4]
    assert all(wrong)
    assert len(wrong) > 10 if deliver else not wrong
    assert (status.dropped.get("damaged", 0) > 10) != deliver
    assert status.damaged_packets > 0, "the packets that never came; a busy server loses more"


def test_clock_of_the_camera_comes_with_its_sender_reports() -> None:
    with watched() as watch:
        end_s = time.monotonic() + 12
        while watch.frames[-1].clock_s is None and time.monotonic() < end_s:
            time.sleep(0.02)
        frame = watch.frames[-1]
    assert frame.clock_s is not None
    assert frame.arrival_s is not None
    made_ms = picture_numbers(frame.pixels)[1]
    offset_s = time.time() - time.monotonic()
    assert frame.clock_s == pytest.approx(made_ms / 1000 + offset_s, abs=0.3)
    assert made_ms / 1000 - 0.01 <= frame.arrival_s < made_ms / 1000 + 1


def test_sub_stream_gives_the_frame_nearest_in_time() -> None:
    with rtsp_server(numbered(), size_wh=(272, 160)) as sub, watched(CameraOptions(detect_source=sub.url)) as watch:
        time.sleep(1.0)
        watch._done.set()
        watch._thread.join()
        while (frame := watch.camera.take()) is None:
            time.sleep(0.005)
        time.sleep(0.1)
        near = watch.camera.detection_frame(frame)
        assert near is not None
        assert near.pixels.shape == (160, 272, 3)
        made_ms = picture_numbers(frame.pixels)[1], picture_numbers(near.pixels)[1]
        assert abs(made_ms[0] - made_ms[1]) < 120
    assert watch.camera.status().state == "ended"


def test_reconnections_leave_no_threads_and_descriptors() -> None:
    process = psutil.Process()
    server = TcpServer(multipart(encoded(".jpg"), 3), MJPEG_HEAD)
    with Camera(f"http://127.0.0.1:{server.port}/", CameraOptions(reconnect=Reconnect(0.005, 0.01))) as camera:
        used = []
        end_s = time.monotonic() + 20
        for index in range(60):
            while camera.status().reconnects < index:
                assert time.monotonic() < end_s
                time.sleep(0.002)
            server.drop_clients()
            if index in (20, 59):
                time.sleep(0.2)
                used.append((process.num_threads(), process.num_fds()))
    server.stop()
    assert used[1][0] <= used[0][0] + 1
    assert used[1][1] <= used[0][1] + 2


@pytest.mark.parametrize("state", ["frozen", "offline", "live"])
def test_process_ends_cleanly_in_any_state(state: str) -> None:
    program = f"""
import sys
from facesr_edge.sdk.live.camera import Camera, CameraOptions
camera = Camera(sys.argv[1], CameraOptions(stall_s=0.3))
while camera.status().state != "live":
    camera.take()
print("ready", flush=True)
while camera.status().state != {state!r}:
    pass
"""
    with rtsp_server(numbered()) as server:
        process = subprocess.Popen([sys.executable, "-c", program, server.url], stdout=subprocess.PIPE, text=True)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        {"frozen": server.freeze, "offline": server.kill, "live": lambda: None}[state]()
        assert process.wait(10) == 0
        process.stdout.close()


def test_wrong_password_and_path_end_the_camera() -> None:
    with rtsp_server(numbered(), user="viewer", password="se:cret") as server:
        good = server.url.replace("se:cret", "se%3Acret")
        with Camera(good) as camera:
            end_s = time.monotonic() + 10
            while camera.take() is None and time.monotonic() < end_s:
                time.sleep(0.01)
            assert camera.status().state == "live"
        for url, reason in ((good.replace("cret", "crat"), "refuses access"), (good + "/other", "does not exist")):
            with Camera(url) as camera:
                end_s = time.monotonic() + 10
                while camera.status().state != "ended" and time.monotonic() < end_s:
                    time.sleep(0.01)
                status = camera.status()
            assert reason in status.error
            for text in (status.error, status.name, *(thread.name for thread in threading.enumerate())):
                assert "cret" not in text
                assert "crat" not in text
