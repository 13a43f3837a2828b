"""Threads and processes that read a store while others write to it and delete from it."""

from __future__ import annotations

import threading
from collections import Counter
from time import time

import numpy as np
import pytest
from facesr_edge.benchmarks.store_kills import make_shot
from facesr_edge.sdk.store import queries
from facesr_edge.sdk.store.new_faces import face_of_shot
from facesr_edge.sdk.store.open import open_store
from facesr_edge.sdk.store.records import FaceFilter

WRITERS, READERS, PARTS = 3, 9, 4


def test_twelve_threads_use_one_store(store):
    start, errors = threading.Barrier(WRITERS + READERS), Counter()

    def write(camera):
        for number in range(PARTS):
            store.add_shot(make_shot(number, camera, side=2))
            if number % 2:
                store.delete(FaceFilter(ids=(store.faces(camera=camera, limit=1)[0].id,)), "test")

    def read():
        for _ in range(PARTS):
            found = store.faces(limit=20)
            assert len({face.id for face in found}) == len(found) and len(list(store.each())) <= WRITERS * PARTS

    def guarded(function, *arguments):
        start.wait()
        try:
            function(*arguments)
        except BaseException as error:
            errors[f"{type(error).__name__}: {error}"] += 1

    threads = [threading.Thread(target=guarded, args=(read,)) for _ in range(READERS)]
    threads += [threading.Thread(target=guarded, args=(write, f"camera {one}")) for one in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and store.count() == WRITERS * PARTS // 2 and store.check(hashes=True).faultless


@pytest.mark.parametrize("ask", [lambda store: store.faces(), lambda store: list(store.each())], ids=["faces", "each"])
def test_a_question_reads_one_state_while_another_process_deletes(store, address, monkeypatch, ask):
    for number in range(3):
        store.add_shot(make_shot(number))
    read, other = queries._faces, open_store(address)

    def delete_first(connection, pictures, ids):
        other.delete(FaceFilter(camera="door"), "between two statements of a question")
        return read(connection, pictures, ids)

    with monkeypatch.context() as patch, other:
        patch.setattr(queries, "_faces", delete_first)
        assert sorted(face.track.number for face in ask(store)) == [0, 1, 2]
    assert ask(store) == []


def test_without_locks_of_files_the_lock_of_a_run_that_writes_stays(store, address, no_locks):
    run = store.new_run()
    run.write([face_of_shot(make_shot(1), time(), "host", run.number())])
    with open_store(address) as other:
        assert [path.name for path in store.pictures.glob(".run-*")] == [f".run-{run._token}.lock"]
        newest = next(store.pictures.rglob("*-original.png"))
        newest.with_name(newest.name.replace("-000001-", "-000002-")).write_bytes(np.zeros(9, np.uint8).tobytes())
        assert other.check().faultless  # the file that the run is writing at the moment
        assert other.statistics().runs == 1 and other.count() == 1
    run.close()
    assert not list(store.pictures.glob(".run-*"))
