"""A store keeps what it is given, and finds it by every condition; the same in SQLite and PostgreSQL."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import cv2
import numpy as np
import pytest
from facesr_edge.benchmarks.store_kills import make_shot
from facesr_edge.engines.errors import InputError, UnknownNameError, UsageError
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.live.tracks.usability import Usability
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.results import Face, FrameResult
from facesr_edge.sdk.provenance.network_use import NetworkUse
from facesr_edge.sdk.store.open import open_store
from facesr_edge.sdk.store.records import FaceFilter, TrackSpan

NETWORK = NetworkUse("edge-tiny-x4", "abc", "int8", "onnxruntime", 4, "def", "0.1.0")
NOON = datetime(2026, 11, 29, 12, tzinfo=timezone.utc)


def shot(number=1, camera="door", side=40.0, verdict="ok", **changes):
    made = make_shot(number, camera)
    return replace(made, face=replace(made.face, usability=Usability(verdict, side, 0.7, 90.0, 3.0, 0.5), **changes))


def result(*faces, index=0):
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))
    return FrameResult(Frame(np.zeros((64, 64, 3), np.uint8), index), None, faces, none)


def face(level=0, uncertainty=None):
    return Face(
        np.array([4, 4, 28, 28], np.float32),
        0.8,
        np.full((5, 2), np.nan, np.float32),
        (0, 0, 32, 32),
        np.full((32, 32, 3), level, np.uint8),
        np.full((128, 128, 3), level, np.uint8),
        math.inf,
        uncertainty=uncertainty,
    )


def test_a_best_shot_is_found_with_its_pictures_track_figures_and_network(store):
    made = shot(7, verdict="profile", consistency_db=48.5)
    store.add_shot(made, NETWORK, time=NOON, clock="camera")
    (found,) = store.faces()
    assert (found.camera, found.source, found.time, found.clock) == ("door", None, NOON, "camera")
    assert found.track == TrackSpan(7, 0.7, 1.7, 5, True) and found.frame_index == 7
    assert found.box_xyxy == (10, 20, 42, 60) and found.window_xyxy == (0, 0, 8, 8) and found.scale == 4
    assert found.landmarks == ((30, 30),) * 5 and found.consistency_db == 48.5
    assert found.usability == made.face.usability and (found.treatment, found.reason) == ("network", "new track")
    assert found.network == NETWORK and found == store.face(found.id)
    for file, pixels in ((found.original, made.face.original), (found.enlarged, made.face.pixels)):
        np.testing.assert_array_equal(cv2.imread(str(file.path)), pixels)
        assert file.path.stat().st_size == file.bytes and file.path.is_relative_to(store.pictures)
    assert abs(found.stored - datetime.now(timezone.utc)) < timedelta(minutes=1)


def test_what_is_not_finite_or_not_known_comes_back_as_such(store):
    levels = np.arange(128 * 128, dtype=np.uint8).reshape(128, 128)
    assert store.add_result(result(face(), face(9, levels)), "group.jpg") == 2
    second, first = store.faces(source="group.jpg")
    assert (first.camera, first.track, first.network, first.consistency_db) == (None, None, None, None)
    assert first.landmarks == ((None, None),) * 5 and math.isnan(first.usability.yaw_deg)
    assert first.uncertainty_mean is None and second.uncertainty_mean == 127.5
    assert second.uncertainty_p90 == pytest.approx(229.5, abs=1) and first.to_dict()["usability"]["yaw_deg"] is None


def test_faces_are_found_by_every_condition_newest_first(store):
    for number, (camera, side, verdict) in enumerate(
        [("door", 20, "too small"), ("yard", 40, "ok"), ("door", 60, "ok"), ("yard", 80, "too blurred")]
    ):
        store.add_shot(shot(number, camera, float(side), verdict), time=NOON + timedelta(hours=number))

    def sides(**conditions):
        found = [int(one.usability.side_px) for one in store.faces(**conditions)]
        names = {name: value for name, value in conditions.items() if name != "limit"}
        if "limit" not in conditions:
            every = list(store.each(FaceFilter(**names)))
            assert sorted(found) == sorted(int(one.usability.side_px) for one in every)
            assert store.count(FaceFilter(**names)) == len(found)
        return found

    assert sides() == [80, 60, 40, 20] and sides(limit=2) == [80, 60]
    assert sides(camera="door") == [60, 20] and sides(camera="nobody") == [] and sides(source="x") == []
    assert sides(since=NOON + timedelta(hours=1)) == [80, 60, 40] and sides(until=NOON + timedelta(hours=1)) == [20]
    assert sides(since=(NOON + timedelta(hours=2)).timestamp(), until=datetime(2026, 11, 29, 15)) == [60]
    assert sides(min_side=60) == [80, 60] and sides(min_side=500) == [] and sides(verdict="ok") == [60, 40]
    assert sides(camera="door", verdict="ok", min_side=50, since=NOON) == [60]
    assert store.cameras() == ["door", "yard"] and store.statistics().faces == 4


def test_wrong_questions_are_usage_errors(store):
    with pytest.raises(UnknownNameError, match="did you mean 'too small'"):
        store.faces(verdict="too smal")
    with pytest.raises(UsageError, match="exchange them"):
        store.faces(since=NOON, until=NOON - timedelta(1))
    with pytest.raises(UsageError, match="finite"):
        store.faces(since=math.nan)
    for limit in (0, 1 << 63):
        with pytest.raises(UsageError, match="limit of at least 1"):
            store.faces(limit=limit)
        with pytest.raises(UsageError, match="limit of at least 1"):
            store.deletions(limit)
        with pytest.raises(UsageError, match="id of at least 1"):
            store.delete(FaceFilter(ids=(1, limit)), "test")
    assert store.faces(limit=(1 << 63) - 1) == store.deletions((1 << 63) - 1) == []
    for number in (0, -1, 1, 1 << 70):
        with pytest.raises(InputError, match=f"no face {number}"):
            store.face(number)


def test_faces_of_a_picture_that_is_stored_again_are_replaced(store):
    store.add_result(result(face(1), face(2)), "a.jpg", NETWORK)
    store.add_result(result(face(3)), "b.jpg", NETWORK)
    store.add_result(result(face(4)), "a.jpg", NETWORK)
    levels = {one.source: int(cv2.imread(str(one.original.path))[0, 0, 0]) for one in store.faces()}
    assert levels == {"a.jpg": 4, "b.jpg": 3} and store.check(hashes=True).faultless
    assert [(one.faces, one.reason, one.done) for one in store.deletions()] == [(2, "replaced by a later run", True)]
    store.add_result(result(), "a.jpg", NETWORK)
    assert [one.source for one in store.faces()] == ["b.jpg"]


def test_faces_of_pictures_are_in_a_folder_of_their_day(store, monkeypatch):
    with monkeypatch.context() as patch:  # as stores had them before
        patch.setattr("facesr_edge.sdk.store.pictures._camera_folder", lambda face: "pictures")
        store.add_result(result(face()), "earlier.jpg")
    store.add_result(result(face()), "now.jpg")
    now, earlier = store.faces()
    day = now.stored.strftime("%Y-%m-%d")
    assert now.original.path.parent == store.pictures / day
    assert earlier.original.path.parent == store.pictures / "pictures" / day
    for one in (now, earlier):
        one.original.path.with_name("stray.png").touch()
    found = store.check(hashes=True, repair=True)
    assert len(found.orphans) == 2 and not found.missing and store.check(hashes=True).faultless
    store.delete(FaceFilter(since=0), "test")
    assert [path.name for path in store.pictures.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize(
    "name",
    ["../../etc", "", "2026-11-29", "pictures", "ein\0ende", "\udcff.jpg", "'; DROP TABLE faces;--", "日本" * 200],
)
def test_any_name_of_a_camera_or_file_is_stored_inside_the_folder(store, name):
    store.add_shot(shot(camera=name))
    store.add_result(result(face()), name)
    assert len(store.faces(camera=name)) == len(store.faces(source=name)) == 1 and store.check().faultless
    for one in store.faces():
        assert one.original.path.resolve().is_relative_to(store.pictures.resolve()) and one.original.path.exists()


@pytest.mark.parametrize("time_s", [-1e9, 0.0, 3e11, math.inf, math.nan])
def test_the_clock_of_a_camera_may_be_wrong_by_any_amount(store, time_s):
    store.add_shot(shot(), time=time_s, clock="camera")
    assert len(store.faces()) == 1 and store.check().faultless


def test_two_stores_write_at_the_same_time(address):
    with open_store(address) as one, open_store(address) as other:
        for number in range(4):
            one.add_shot(shot(number))
            other.add_shot(shot(number))
        with open_store(address) as third:  # neither of them counts as killed
            assert len(third.faces()) == 8 and third.check().faultless
    with open_store(address) as store:
        assert store.statistics().runs == 2 and not list(store.pictures.glob(".run-*"))


def test_a_store_that_is_missing_is_not_created_by_a_question(address, tmp_path):
    with pytest.raises(InputError, match="is missing, expected"):
        open_store(address, create=False)
    assert not (tmp_path / "store").exists() and not (tmp_path / "pictures").exists()


def test_a_store_may_be_moved(tmp_path):
    with open_store(tmp_path / "a") as store:
        store.add_shot(shot())
    (tmp_path / "a").rename(tmp_path / "b")
    with open_store(tmp_path / "b", create=False) as store:
        assert store.check(hashes=True).faultless and store.faces()[0].original.path.is_relative_to(tmp_path / "b")


def test_the_pictures_of_another_store_are_refused(address, tmp_path):
    with open_store(address) as store:
        store.add_shot(shot())
        (store.pictures / ".store").write_text("0" * 32)
    with pytest.raises(InputError, match="has not the pictures of the store"):
        open_store(address)


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "store.db").write_bytes(b"no database" * 1000)
    with pytest.raises(InputError, match="not a database; restore it"):
        open_store(tmp_path)


def test_check_finds_and_repairs_what_people_did(store):
    for number in range(4):
        store.add_shot(shot(number))
    missing, changed, *_ = store.faces()
    missing.enlarged.path.unlink()
    data = bytearray(changed.original.path.read_bytes())
    data[-20] ^= 1
    changed.original.path.write_bytes(data)
    stray = missing.original.path.with_name("stray.png")
    stray.touch()
    assert store.check().changed == () and store.check().missing == (missing.enlarged.path,)
    found = store.check(hashes=True, repair=True)
    assert (found.changed, found.orphans, found.damage) == ((changed.original.path,), (stray,), ())
    assert store.count() == 3 and not stray.exists() and not missing.original.path.exists()
    assert store.check().faultless and not store.check(hashes=True).faultless
