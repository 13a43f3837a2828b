"""Evidence cards of live runs: one for each track that has ended, within the limits."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.live.results import FrameTimes
from facesr_edge.sdk.live.sinks.evidence import EvidenceSink
from facesr_edge.sdk.live.sinks.open import check_live_sink, open_live_sink
from facesr_edge.sdk.live.sinks.queue import SinkQueue
from support.evidence import NETWORK, Page, checked_record
from support.live_results import live_result
from support.live_runs import make_status
from support.sinks import make_face, make_result, wait_until

ABOUT = {"model": "idrn-x4"}


def cards(folder, camera="door"):
    return sorted((folder / camera).iterdir())


def track(sink, number, index):
    """A track of one frame that ends with the next."""
    sink.select(make_result(index, faces=(make_face(number),)))
    sink.write(sink.select(make_result(index + 1, ended=(number,))))


def test_a_track_that_ends_gets_a_card_of_its_best_face_and_its_frame(tmp_path):
    with open_live_sink(f"evidence:{tmp_path}/cards", cameras=["door"], about=ABOUT) as group:
        group.started(NETWORK, replace(NETWORK, name="edge-nano-x4"))
        for index, quality in enumerate((0.3, 0.9, 0.5)):
            group.done(make_result(index, faces=(make_face(7, quality=quality),), level=40 * index, size_wh=(960, 640)))
        assert not (tmp_path / "cards" / "door").exists()
        group.done(make_result(3, ended=(7,)))
        wait_until(lambda: group.statistics()[0].written == 1)
        assert group.statistics()[0].name == f"evidence:{tmp_path}/cards"
    (folder,) = cards(tmp_path / "cards")
    assert folder.name.endswith("Z-track7")
    record = checked_record(folder)
    (face,) = record["faces"]
    assert face["frame"]["index"] == 1 and face["frame"]["clock"] == "host" and face["usability"]["score"] == 0.9
    assert face["track"] == {"id": 7, "first_s": 0.0, "last_s": 0.2, "frames": 3, "ended": True}
    assert {name: use["name"] for name, use in record["networks"].items()} == {
        "network": "idrn-x4",
        "small network": "edge-nano-x4",
    }
    assert record["views"] == [{"file": "frame-1.png", "frame": 1, "frame_wh": [960, 640]}]
    assert record["source"]["kind"] == "camera" and record["source"]["details"] == {"run, model": "idrn-x4"}


def test_the_time_of_the_camera_is_stated_if_it_tells_it(tmp_path):
    sink = EvidenceSink(tmp_path, ABOUT)
    times = FrameTimes(0, 0, 0, 1_700_000_000.25, 1_800_000_000)
    sink.select(live_result(make_face(2), camera="yard", times=times))
    sink.write(sink.select_rest())
    (folder,) = cards(tmp_path, "yard")
    frame = checked_record(folder)["faces"][0]["frame"]
    assert (frame["time"], frame["clock"]) == ("2023-11-14T22:13:20.250Z", "camera")
    assert folder.name == "20231114T221320.250Z-track2"
    text = Page((folder / "card.html").read_text("utf-8")).text
    assert "2023-11-14T22:13:20.250Z, by the camera's clock" in text


def test_a_camera_that_goes_off_and_the_end_of_the_run_end_tracks(tmp_path):
    queue = SinkQueue(EvidenceSink(tmp_path, ABOUT))
    queue.done(make_result(0, faces=(make_face(1),)))
    queue.changed(make_status("door", "offline"))
    queue.done(make_result(5, faces=(make_face(2), make_face(3))))
    queue.close()
    assert [checked_record(folder)["faces"][0]["track"]["ended"] for folder in cards(tmp_path)] == [False] * 3


def test_a_run_that_ends_waits_for_the_cards_of_its_open_tracks(tmp_path, monkeypatch):
    monkeypatch.setattr(EvidenceSink, "drain_s", 60.0)
    queue = SinkQueue(EvidenceSink(tmp_path, ABOUT))
    queue.done(make_result(0, faces=tuple(make_face(number) for number in range(1, 25))))
    queue.close()
    assert queue.statistics().written == 24 == len(cards(tmp_path))


def test_the_name_of_a_camera_is_neither_a_path_nor_markup(tmp_path):
    name = "../../<script>alert(1)</script>"
    sink = EvidenceSink(tmp_path / "cards", ABOUT)
    sink.select(make_result(0, camera=name, faces=(make_face(1),)))
    sink.write(sink.select_rest())
    (camera,) = (tmp_path / "cards").iterdir()
    page = Page((cards(tmp_path / "cards", camera.name)[0] / "card.html").read_text("utf-8"))
    assert "script" not in page.tags and name in page.text and [p.name for p in tmp_path.iterdir()] == ["cards"]


def test_the_oldest_cards_make_room_also_those_of_earlier_runs(tmp_path):
    for run in range(2):
        sink = EvidenceSink(tmp_path, ABOUT, max_count=2)
        for number in range(1, 4):
            track(sink, 10 * run + number, 100 * run + 10 * number)
            time.sleep(0.01)
    (tmp_path / "door" / "mine").mkdir()
    sink.idle()
    assert [folder.name.partition("Z-")[2] for folder in cards(tmp_path)] == ["track12", "track13", ""]


def test_cards_grow_old_while_nothing_comes(tmp_path, monkeypatch):
    monkeypatch.setattr(EvidenceSink, "idle_s", 0.05)
    track(EvidenceSink(tmp_path, ABOUT), 1, 0)
    queue = SinkQueue(EvidenceSink(tmp_path, ABOUT, max_age_s=0.5))
    wait_until(lambda: not cards(tmp_path))
    queue.close()


def test_of_a_card_that_fails_nothing_stays_and_the_next_is_written(tmp_path, no_file_larger_than):
    queue = SinkQueue(EvidenceSink(tmp_path, ABOUT), drain_s=10.0)
    noisy = make_face(1, pixels=np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8))
    with no_file_larger_than(20_000):
        queue.done(make_result(0, faces=(noisy,)))
        queue.done(make_result(1, ended=(1,)))
        wait_until(lambda: queue.statistics().failed == 1)
    assert "free some space" in queue.statistics().error and cards(tmp_path) == []
    queue.done(make_result(2, faces=(noisy,)))
    queue.close()
    assert len(cards(tmp_path)) == 1


def test_views_are_kept_only_of_open_tracks(tmp_path):
    sink = EvidenceSink(tmp_path, ABOUT)
    for index in range(4):
        ended = (index,) if index else ()
        sink.write(sink.select(make_result(index, faces=(make_face(index + 1),), ended=ended)))
    assert len(sink._views) == 1 and len(cards(tmp_path)) == 3


@pytest.mark.parametrize(
    "output", ["evidence:", "evidence:a?max=0", "evidence:a?days=-1", "evidence:a?size=3", "evidence:?max=3"]
)
def test_a_wrong_output_is_refused(output):
    with pytest.raises(UsageError):
        check_live_sink(output, ["door"])
