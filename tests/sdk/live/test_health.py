import pytest
from facesr_edge.sdk.live.health import HANG_S, health
from facesr_edge.sdk.live.monitor import Monitor
from facesr_edge.sdk.live.observed import ObservedRun
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
