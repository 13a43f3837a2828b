"""Folders of best shots: complete or absent, original beside the result, bounded by number and age."""

from __future__ import annotations

import json
import os
import time
from datetime import datetime

import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import OutputError, UsageError
from facesr_edge.sdk.live.results import FrameTimes
from facesr_edge.sdk.live.sinks.best_shots import BestShotsSink
from facesr_edge.sdk.live.sinks.evidence import EvidenceSink
from facesr_edge.sdk.live.sinks.queue import SinkQueue
from support.live_results import live_result
from support.live_runs import make_status
from support.sinks import make_face, make_result, wait_until

ABOUT = {"model": "idrn-x4"}


def record(folder, camera="door"):
    (path,) = (folder / camera).glob("*.json")
    return json.loads(path.read_text("utf-8"))


def track(sink, number, index):
    """A track of one frame that ends with the next."""
    sink.select(make_result(index, faces=(make_face(number),)))
    sink.write(sink.select(make_result(index + 1, ended=(number,))))


def test_the_best_face_of_a_track_is_written_with_its_original_and_figures(tmp_path):
    queue = SinkQueue(BestShotsSink(tmp_path / "shots", ABOUT))
    best = make_face(7, quality=0.9)
    for index, face in enumerate((make_face(7, quality=0.3), best, make_face(7, quality=0.5))):
        queue.done(make_result(index, faces=(face,)))
    assert queue.statistics().queued == queue.statistics().written == 0
    queue.done(make_result(3, ended=(7,)))
    queue.close()
    assert queue.statistics().written == 1
    figures = record(tmp_path / "shots")
    assert figures["run"] == ABOUT and figures["index"] == 1 and figures["frames"] == 3 and figures["ended"]
    assert figures["face"]["usability"]["score"] == 0.9 and figures["face"]["treatment"] == "network"
    assert figures["face"]["consistency_db"] == 50.0 and "estimate" in figures["note"]
    for name, pixels in (("original", best.original), ("enlarged", best.pixels)):
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / "shots" / "door" / figures[name])), pixels)
    assert len(list((tmp_path / "shots" / "door").iterdir())) == 3


def test_the_time_is_that_of_the_frame_by_the_clock_of_the_camera_or_the_host(tmp_path):
    sink = BestShotsSink(tmp_path, ABOUT)
    track(sink, 1, 10)  # a frame 0.1 s before the result that ends the track
    figures = record(tmp_path)
    assert figures["clock"] == "host" and figures["time"].endswith("+00:00")
    assert datetime.fromisoformat(figures["time"]).timestamp() == pytest.approx(time.time() - 0.1, abs=5)
    times = FrameTimes(0, 0, 0, 1_700_000_000.25, 1_800_000_000)
    sink.select(live_result(make_face(2), camera="yard", times=times))
    sink.write(sink.select_rest())
    figures = record(tmp_path, "yard")
    assert (figures["clock"], figures["time"], figures["ended"]) == ("camera", "2023-11-14T22:13:20.250+00:00", False)
    assert figures["original"] == "20231114T221320.250Z-track2-original.png"


def test_tracks_that_have_not_ended_are_written_at_the_end(tmp_path):
    queue = SinkQueue(BestShotsSink(tmp_path, ABOUT))
    queue.done(make_result(0, faces=(make_face(1), make_face(2))))
    queue.close()
    assert queue.statistics().written == 2 and len(list((tmp_path / "door").glob("*.json"))) == 2


def test_the_oldest_shots_of_each_camera_make_room_also_those_of_earlier_runs(tmp_path):
    for run in range(2):
        sink = BestShotsSink(tmp_path, ABOUT, max_count=3)
        for number in range(1, 4):
            track(sink, 10 * run + number, 100 * run + 10 * number)
        track(sink, 99, 5) if run else None
    names = sorted(path.name for path in (tmp_path / "door").iterdir())
    assert len(names) == 9 and len({name.partition("Z")[0] for name in names}) == 3
    assert {name.partition("-")[2].partition(".")[0].partition("-")[0] for name in names} <= {
        "track12",
        "track13",
        "track99",
    }


def test_old_shots_are_removed_at_the_start_and_while_nothing_comes(tmp_path, monkeypatch):
    track(BestShotsSink(tmp_path, ABOUT), 1, 0)
    assert record(tmp_path)["face"]["track_id"] == 1
    monkeypatch.setattr(BestShotsSink, "idle_s", 0.05)
    queue = SinkQueue(BestShotsSink(tmp_path, ABOUT, max_age_s=1.5))
    assert record(tmp_path)["face"]["track_id"] == 1
    wait_until(lambda: not list((tmp_path / "door").iterdir()))
    queue.close()
    track(BestShotsSink(tmp_path, ABOUT), 2, 0)
    time.sleep(0.02)
    BestShotsSink(tmp_path, ABOUT, max_age_s=0.01)
    assert not list((tmp_path / "door").iterdir())


@pytest.mark.parametrize("year", [2000, 2090])
def test_the_age_of_a_shot_does_not_depend_on_the_clock_of_the_camera(tmp_path, year):
    sink = BestShotsSink(tmp_path, ABOUT, max_age_s=86_400)
    times = FrameTimes(0, 0, 0, datetime(year, 1, 1).timestamp(), time.time())
    sink.select(live_result(make_face(1), times=times))
    sink.write(sink.select_rest())
    assert record(tmp_path, "door")["time"].startswith((f"{year}-01-01", f"{year - 1}-12-31"))
    for path in (tmp_path / "door").iterdir():
        os.utime(path, (time.time() - 90_000,) * 2)
    BestShotsSink(tmp_path, ABOUT, max_age_s=100_000)
    assert len(list((tmp_path / "door").iterdir())) == 3
    BestShotsSink(tmp_path, ABOUT, max_age_s=86_400)
    assert not list((tmp_path / "door").iterdir())


def test_the_last_shots_stay_although_the_camera_set_its_clock_back(tmp_path):
    sink = BestShotsSink(tmp_path, ABOUT, max_count=1)
    for number, clock_s in ((1, 1_800_000_000), (2, 1_700_000_000)):
        sink.select(live_result(make_face(number), times=FrameTimes(0, 0, 0, clock_s, time.time())))
        sink.write(sink.select_rest())
        time.sleep(0.01)
    BestShotsSink(tmp_path, ABOUT, max_count=1)
    assert record(tmp_path)["face"]["track_id"] == 2


def test_of_a_shot_that_fails_nothing_stays(tmp_path, no_file_larger_than):
    queue = SinkQueue(BestShotsSink(tmp_path, ABOUT), drain_s=10.0)
    noisy = make_face(1, pixels=np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8))
    with no_file_larger_than(20_000):
        queue.done(make_result(0, faces=(noisy,)))
        queue.done(make_result(1, ended=(1,)))
        wait_until(lambda: queue.statistics().failed == 1)
    assert "free some space" in queue.statistics().error and not list((tmp_path / "door").iterdir())
    queue.done(make_result(2, faces=(noisy,)))
    queue.close()
    assert len(list((tmp_path / "door").iterdir())) == 3


def test_what_a_killed_run_left_of_a_file_is_removed(tmp_path):
    (tmp_path / "door").mkdir()
    old, new = tmp_path / "door" / ".a-0001.part", tmp_path / "door" / ".b-0002.part"
    for path in (old, new):
        path.touch()
    os.utime(old, (1, 1))
    BestShotsSink(tmp_path, ABOUT)
    assert not old.exists() and new.exists()


def test_names_of_cameras_stay_inside_the_folder(tmp_path):
    sink = BestShotsSink(tmp_path / "shots", ABOUT)
    for camera in ("../../etc", "rtsp://host/a", "..", ""):
        sink.select(make_result(0, camera=camera, faces=(make_face(),)))
    sink.write(sink.select_rest())
    folders = list((tmp_path / "shots").iterdir())
    assert len(folders) == 4 and all(len(list(folder.iterdir())) == 3 for folder in folders)
    assert list(tmp_path.iterdir()) == [tmp_path / "shots"]


def test_wrong_limits_and_folders_are_told_at_once(tmp_path):
    with pytest.raises(UsageError, match="more than 0 shots, got 0"):
        BestShotsSink(tmp_path, ABOUT, max_count=0)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        BestShotsSink(tmp_path / "file", ABOUT)


@pytest.mark.parametrize("state", ["frozen", "offline", "ended"])
def test_a_camera_that_is_off_leaves_what_it_has(tmp_path, state):
    sink = BestShotsSink(tmp_path / "shots", ABOUT)
    sink.select(make_result(0, faces=(make_face(7),)))
    assert sink.select_status(make_status(name="door", state="live")) == ()
    sink.write(sink.select_status(make_status(name="door", state=state)))
    figures = record(tmp_path / "shots")
    assert not figures["ended"]
    assert sink.select_rest() == []


@pytest.mark.parametrize("clock_s", [1e12, -1e12, float("nan")])
def test_a_clock_outside_of_the_calendar_loses_no_shot(tmp_path, clock_s):
    for kind, found in ((BestShotsSink, "*.json"), (EvidenceSink, "*/card.html")):
        sink = kind(tmp_path / kind.__name__, ABOUT)
        sink.select(live_result(make_face(1), times=FrameTimes(0, 0, 0, clock_s, time.time())))
        sink.write(sink.select_rest())
        assert len(list((tmp_path / kind.__name__ / "door").glob(found))) == 1
    figures = record(tmp_path / "BestShotsSink")
    assert figures["clock"] == "host" and datetime.fromisoformat(figures["time"]).year == datetime.now().year
