"""A database that does not answer: nothing is lost, nothing is stored twice, no picture stays without a row."""

from __future__ import annotations

import time
from contextlib import contextmanager

import numpy as np
import pytest
from facesr_edge.benchmarks.store_kills import make_shot
from facesr_edge.engines.errors import OutputError, SendError
from facesr_edge.sdk.live.sinks.open import open_live_sink
from facesr_edge.sdk.store.database import Database
from facesr_edge.sdk.store.new_faces import face_of_shot
from facesr_edge.sdk.store.open import open_store
from support.sinks import make_face, make_result, wait_until


@pytest.fixture
def break_writes(monkeypatch):
    """Let the next transactions fail: ``break_writes(count, committed)``."""
    write = Database.write

    def make(count, *, committed):
        left = [count]

        @contextmanager
        def broken(self):
            if left[0] <= 0:
                with write(self) as connection:
                    yield connection
                return
            left[0] -= 1
            with write(self) as connection:
                yield connection
                if not committed:
                    raise SendError("the connection broke before the commit")
            raise SendError("the connection broke after the commit")

        monkeypatch.setattr(Database, "write", broken)

    return make


@pytest.mark.parametrize("committed", [True, False])
def test_a_live_sink_tries_again_and_stores_each_face_once(address, break_writes, committed):
    with open_live_sink(address if "://" in address else f"store:{address}") as group:
        break_writes(2, committed=committed)
        group.done(make_result(0, faces=(make_face(1), make_face(2))))
        group.done(make_result(1, ended=(1, 2)))
        wait_until(lambda: group.statistics()[0].written == 2)
    with open_store(address) as store:
        assert sorted(face.track.number for face in store.faces()) == [1, 2] and store.check(hashes=True).faultless


def test_pictures_of_faces_that_were_given_up_are_removed_at_the_end_of_the_run(store, break_writes):
    run = store.new_run()
    break_writes(1, committed=False)
    with pytest.raises(SendError):
        run.write([face_of_shot(make_shot(1), time.time(), "host", run.number())])
    assert len(list(store.pictures.rglob("*.png"))) == 2
    run.close()
    assert not list(store.pictures.rglob("*.png")) and store.check().faultless


def test_of_a_face_that_does_not_fit_on_the_disk_nothing_stays(store, no_file_larger_than):
    store.add_shot(make_shot(1))
    noisy = make_face(2, pixels=np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8))
    run = store.new_run()
    large = face_of_shot(make_shot(2), time.time(), "host", run.number())
    object.__setattr__(large, "face", noisy)
    with no_file_larger_than(100_000), pytest.raises(OutputError, match="free some space"):
        run.write([face_of_shot(make_shot(3), time.time(), "host", run.number()), large])
    run.close()
    assert store.count() == 1 and len(list(store.pictures.rglob("*.png"))) == 2 and store.check().faultless


def test_a_store_that_another_program_holds_is_tried_later(tmp_path, monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.store.database.BUSY_S", 0.05)
    with open_store(tmp_path) as store, open_store(tmp_path) as other:
        held = other._database.write()
        with held, pytest.raises(SendError, match="locked; wait for the program"):
            store.add_shot(make_shot(1))
    with open_store(tmp_path) as store:
        store.add_shot(make_shot(1))
        assert store.count() == 1
