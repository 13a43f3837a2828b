"""Deletion is complete and logged: no picture without a row, no row without a picture, no trace in the file."""

from __future__ import annotations

import time

import pytest
from facesr_edge.benchmarks.store_kills import (
    Kill,
    make_shot,
    problems_after_opening,
    problems_before_opening,
    write_and_kill,
)
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.store.address import parse_address
from facesr_edge.sdk.store.open import open_store
from facesr_edge.sdk.store.records import FaceFilter
from sqlalchemy import text

DAY_S = 86_400


def pictures(store):
    return sorted(path for path in store.pictures.rglob("*.png"))


def set_clock(monkeypatch, days):
    """The host's clock, as the store sees it; days from now."""
    now_s = time.time() + days * DAY_S
    monkeypatch.setattr("facesr_edge.sdk.store.run_writer.time.time", lambda: now_s)


def test_faces_are_deleted_by_age_with_their_pictures_and_empty_folders(store, monkeypatch):
    with monkeypatch.context() as patch:
        set_clock(patch, -40)
        store.add_shot(make_shot(1, "yard"))
    store.add_shot(make_shot(2), time=0.0, clock="camera")  # its clock is wrong by decades, the face is new
    assert store.prune(days=41).faces == 0
    done = store.prune(days=30)
    assert done.faces == 1 and done.bytes > 0
    assert [found.track.number for found in store.faces()] == [2] and len(pictures(store)) == 2
    assert sorted(path.name for path in store.pictures.iterdir() if path.is_dir()) == ["door"]
    (log,) = store.deletions()
    assert (log.reason, log.camera, log.faces, log.bytes, log.done) == (
        "older than 30 days",
        "yard",
        1,
        done.bytes,
        True,
    )
    assert store.check(hashes=True).faultless


def test_the_oldest_faces_make_room(store):
    for number in range(5):
        store.add_shot(make_shot(number))
    size = sum(path.stat().st_size for path in pictures(store))
    assert store.statistics().bytes == size and store.prune(max_gb=size / 1e9).faces == 0
    store.prune(max_gb=0.5 * size / 1e9)
    assert [found.track.number for found in store.faces()] == [4, 3] and len(pictures(store)) == 4
    assert store.deletions()[0].reason.startswith("pictures of more than") and store.check().faultless


def test_a_person_may_ask_for_the_deletion_of_some_faces(store):
    for number in range(3):
        store.add_shot(make_shot(number))
    first = store.faces()[-1]
    assert store.delete(FaceFilter(ids=(first.id, 999)), "request 17").faces == 1
    assert not first.original.path.exists() and store.deletions()[0].reason == "request 17"
    assert store.delete(FaceFilter(camera="door"), "all of a camera").faces == 2
    assert store.count() == 0 and pictures(store) == [] and not any(path.is_dir() for path in store.pictures.iterdir())
    with pytest.raises(UsageError, match="expected a condition"):
        store.delete(FaceFilter(), "all")


def test_a_row_cannot_name_a_file_outside_of_the_folder(store, tmp_path, caplog):
    store.add_shot(make_shot(1))
    victim = tmp_path / "victim"
    victim.touch()
    with store._database.write() as connection:
        connection.execute(text("UPDATE files SET path = '../../victim' WHERE kind = 'original'"))
    assert store.delete(FaceFilter(camera="door"), "test").faces == 1
    assert victim.exists() and "outside of" in caplog.text and store.deletions()[0].done


def test_a_store_may_be_named_by_a_relative_path(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with open_store("../store") as store:
        store.add_shot(make_shot(1))
        assert store.delete(FaceFilter(camera="door"), "test").faces == 1 and pictures(store) == []


def test_ids_of_deleted_faces_are_not_used_again(store):
    store.add_shot(make_shot(1))
    (first,) = store.faces()
    store.delete(FaceFilter(ids=(first.id,)), "test")
    store.add_shot(make_shot(2))
    assert store.faces()[0].id > first.id


@pytest.mark.parametrize(
    "limits", [{}, {"days": 0}, {"max_gb": -1}, {"days": float("nan")}, {"days": 1e300}, {"max_gb": 1e300}]
)
def test_wrong_limits_are_usage_errors(store, limits):
    with pytest.raises(UsageError, match="expected"):
        store.prune(**limits)


def test_nothing_of_a_deleted_row_stays_in_the_files_of_sqlite(tmp_path):
    secret = "camera of the very secret entrance"
    with open_store(tmp_path) as store:
        for number in range(8):
            store.add_shot(make_shot(number, side=2))
        made = make_shot(60, side=2)
        object.__setattr__(made.face, "reason", secret)
        store.add_shot(made)
        assert any(secret.encode() in path.read_bytes() for path in tmp_path.glob("store.db*"))
        store.delete(FaceFilter(since=0), "test")
        assert not any(secret.encode() in path.read_bytes() for path in tmp_path.glob("store.db*"))
    assert not any(secret.encode() in path.read_bytes() for path in tmp_path.glob("store.db*"))


def test_pages_of_deleted_rows_are_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.store.pictures.write_atomic", lambda path, data: path.write_bytes(data))
    with open_store(tmp_path) as store:
        for number in range(60):
            store.add_shot(make_shot(number, "a" * 60, side=2))
        before = (tmp_path / "store.db").stat().st_size + (tmp_path / "store.db-wal").stat().st_size
        store.delete(FaceFilter(since=0), "test")
        assert (tmp_path / "store.db").stat().st_size < before and (tmp_path / "store.db-wal").stat().st_size == 0


@pytest.mark.parametrize(
    "kill",
    [Kill("before the commit", 2), Kill("before a picture is removed", 1), Kill("", after_s=0.2)],
    ids=lambda kill: kill.point or "a moment",
)
def test_a_writer_that_is_killed_leaves_whole_faces_only(address, tmp_path, kill):
    stored = write_and_kill(address, tmp_path, kill)
    assert problems_before_opening(address) == []
    assert problems_after_opening(address, stored) == []
    with open_store(address) as store:
        assert not list(store.pictures.glob(".run-*")) and store.statistics().runs == 1


def test_the_examination_of_kills_finds_faults(tmp_path):
    address = str(tmp_path / "store")
    with open_store(address) as store:
        store.add_shot(make_shot(1))
    with open_store(address) as store:
        assert problems_after_opening(address, 2) == ["2 faces were stored, 1 are there or in the log of deletions"]
        (found,) = store.faces()
        found.original.path.unlink()
    assert len(problems_before_opening(address)) == 1 and len(problems_after_opening(address, 1)) == 2
    assert parse_address(address).database.exists()
