"""Health: by states, and of a real run whose scheduler is blocked or whose camera freezes."""

import threading
import time

import numpy as np
import pytest
from facesr_edge.sdk.live.camera import Camera, CameraOptions
from facesr_edge.sdk.live.live import live
from facesr_edge.sdk.live.monitoring import health as health_file
from facesr_edge.sdk.live.monitoring.health import HANG_S, health
from facesr_edge.sdk.live.monitoring.monitor import Monitor
from facesr_edge.sdk.live.monitoring.observed import ObservedRun
from facesr_edge.sdk.live.observer import Observer
from support.live_runs import StatusOnly, make_run


def check(*cameras, scheduler_age_s=0.05, closed=False):
    monitor = Monitor(clock=lambda: 1000.0)
    if closed:
        monitor.close()
    return health(ObservedRun(make_run(*cameras, last_turn_s=1000.0 - scheduler_age_s), monitor))


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"state": "live"}, ""),
        ({"state": "ended"}, ""),
        ({"state": "ended", "error": "401 from rtsp://a"}, "401 from rtsp://a"),
        ({"state": "connecting", "newest_age_s": None}, "connecting (no frame has arrived)"),
        ({"state": "offline", "newest_age_s": 12.04}, "no connection (last frame 12.0 s ago)"),
        ({"state": "offline", "error": "refused", "newest_age_s": None}, "refused (no frame has arrived)"),
        ({"state": "frozen", "newest_age_s": 7.0}, "connected, but no frame comes (last frame 7.0 s ago)"),
        ({"state": "frozen", "newest_age_s": 0.04}, "connected, but the same picture comes again and again"),
    ],
)
def test_a_camera_is_healthy_if_it_is_live_or_ended_without_an_error(status, why):
    verdict = check(StatusOnly(name="well"), StatusOnly(name="a", **status))
    camera = verdict.cameras[1]
    assert camera.why == why and camera.healthy == (not why) and verdict.healthy == (not why)
    assert verdict.to_dict()["cameras"][1]["newest_age_s"] == camera.newest_age_s


def test_a_scheduler_that_hangs_is_not_healthy_though_all_cameras_are():
    assert check(StatusOnly(), scheduler_age_s=HANG_S - 0.1).healthy
    verdict = check(StatusOnly(), scheduler_age_s=HANG_S + 0.1)
    assert not verdict.healthy and verdict.scheduler == "no turn for 5.1 s" and verdict.scheduler_age_s == 5.1


def test_a_run_that_ended_before_its_cameras_is_not_healthy():
    assert check(StatusOnly(), closed=True).scheduler == "the run ended"
    assert check(StatusOnly(state="ended"), scheduler_age_s=60.0, closed=True).healthy


class Blocker(Observer):
    """Blocks the scheduler from the first result on, until it may go on."""

    def __init__(self):
        self.blocked, self.go_on = threading.Event(), threading.Event()

    def done(self, result):
        self.blocked.set()
        self.go_on.wait(30)


def wait_for(run, condition):
    end_s = time.monotonic() + 20
    while not condition(verdict := health(run)):
        assert time.monotonic() < end_s, verdict
        time.sleep(0.05)


def test_the_health_of_a_run_tells_a_blocked_scheduler_from_a_frozen_camera(monkeypatch):
    monkeypatch.setattr(health_file, "HANG_S", 0.7)
    stop, blocker, monitor = threading.Event(), Blocker(), Monitor()
    pixels = [np.full((64, 96, 3), gray, np.uint8) for gray in (40, 90)]

    def frames():
        for n in range(10_000):
            yield pixels[n % 2]
            if stop.wait(0.05):
                time.sleep(2)  # the camera sends nothing, and stays connected

    camera = Camera(frames(), CameraOptions(policy="newest", stall_s=0.5), name="a")
    with live([camera], observers=[blocker, monitor], engine="onnxruntime", precision="fp32", threads=1) as run:
        observed = ObservedRun(run, monitor)
        assert blocker.blocked.wait(20)
        wait_for(observed, lambda verdict: "no turn for" in verdict.scheduler and verdict.cameras[0].healthy)
        blocker.go_on.set()
        wait_for(observed, lambda verdict: verdict.healthy)
        stop.set()
        wait_for(observed, lambda verdict: verdict.cameras[0].why.startswith("connected, but no frame comes"))
        assert health(observed).scheduler == ""
        stop.clear()
        wait_for(observed, lambda verdict: verdict.healthy)
