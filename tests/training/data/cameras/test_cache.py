"""Cache of recorded pairs: reproducible, in parallel, and of one source only."""

import os
import shutil
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from facesr_edge.engines.errors import InputError, TrainingError
from facesr_edge.training.data.cameras import cache, shard_cache
from facesr_edge.training.data.cameras.cache import PairCache, PairSource
from support import recorders


@pytest.fixture
def source(faces):
    return PairSource((faces,), None, 4, 24, seed=3)


def test_shards_do_not_depend_on_the_number_of_processes_and_are_recorded_once(source, tmp_path):
    done: list[int] = []
    two, one = PairCache(tmp_path / "two", source, 2), PairCache(tmp_path / "one", source, 1)
    two.fill(2, done.append)
    assert done == [0, 1, 2]
    one.fill(1)
    for kind in ("lr", "hr"):
        first, again = (np.load(shard_cache.shard_file(tmp_path / name, 0, kind)) for name in ("two", "one"))
        np.testing.assert_array_equal(first, again)
    written = shard_cache.shard_file(tmp_path / "two", 1, "hr").stat().st_mtime_ns
    two.fill(1, done.append)
    assert done[3:] == [2] and shard_cache.shard_file(tmp_path / "two", 1, "hr").stat().st_mtime_ns == written
    lr, hr = two.draw(40, np.random.default_rng(0))
    assert lr.shape == (40, 24, 24, 3) and hr.shape == (40, 96, 96, 3)
    same = two.draw(40, np.random.default_rng(0))
    np.testing.assert_array_equal(lr, same[0])


def test_a_teachers_output_is_stored_once_and_drawn_with_its_pairs(source, tmp_path):
    calls = []

    def upscale(lr):
        calls.append(len(lr))
        return np.repeat(np.repeat(lr, 4, 1), 4, 2)

    taught = PairCache(tmp_path, source, 1)
    taught.fill(1)
    taught.teach("nearest", upscale)
    assert max(calls) == cache.TEACHER_BATCH
    lr, hr, sr = taught.draw(20, np.random.default_rng(0))
    np.testing.assert_array_equal(sr, upscale(lr))
    done = len(calls)
    PairCache(tmp_path, source, 1).teach("nearest", upscale)
    assert len(calls) == done
    np.testing.assert_array_equal(PairCache(tmp_path, source, 1).draw(20, np.random.default_rng(0))[1], hr)


@pytest.fixture
def made(source, tmp_path):
    """A cache of six shards, (5, 24, 24, 3) and (5, 96, 96, 3), that no camera has recorded."""
    made = PairCache(tmp_path, source, 6)
    rng = np.random.default_rng(0)
    for index, (kind, side) in product(range(6), (("lr", 24), ("hr", 96))):
        np.save(shard_cache.shard_file(tmp_path, index, kind), rng.integers(0, 256, (5, side, side, 3), np.uint8))
    return made


def test_pairs_are_those_of_the_files_and_no_file_stays_open(made, tmp_path):
    shards = [[np.load(shard_cache.shard_file(tmp_path, index, kind)) for kind in ("lr", "hr")] for index in range(6)]
    known = {(lr.tobytes(), hr.tobytes()) for lrs, hrs in shards for lr, hr in zip(lrs, hrs, strict=True)}
    known |= {(lr[:, ::-1].tobytes(), hr[:, ::-1].tobytes()) for s in shards for lr, hr in zip(*s, strict=True)}
    before = psutil.Process().num_fds()
    drawn = made.draw(400, np.random.default_rng(0))
    assert psutil.Process().num_fds() == before
    assert {(lr.tobytes(), hr.tobytes()) for lr, hr in zip(*drawn, strict=True)} == known


@pytest.mark.parametrize("kind", ["lr", "hr"])
@pytest.mark.parametrize("damage", ["missing", "short", "empty", "other pictures", "numbers"])
def test_a_damaged_shard_raises_one_line_that_names_it(made, tmp_path, kind, damage):
    path = shard_cache.shard_file(tmp_path, 2, kind)
    content = path.read_bytes()
    path.unlink()
    if damage in ("short", "empty"):
        path.write_bytes(content[: -100 if damage == "short" else 0])
    elif damage != "missing":
        np.save(path, np.zeros((5, 20, 20, 3), np.uint8) if damage == "other pictures" else np.zeros(3))
    with pytest.raises(TrainingError, match=f"0002-{kind}.npy is missing or damaged; delete it") as caught:
        made.draw(100, np.random.default_rng(0))
    assert "\n" not in str(caught.value)


def test_a_shard_that_is_cut_while_it_is_read_raises(made, tmp_path):
    made.draw(100, np.random.default_rng(0))
    path = shard_cache.shard_file(tmp_path, 3, "hr")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(TrainingError, match="is missing or damaged"):
        made.draw(100, np.random.default_rng(0))


def stop(done):
    if done:
        raise KeyboardInterrupt


def test_an_interruption_ends_the_recording_after_the_shards_in_progress(source, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_cache, "_record_shard", recorders.without_pictures)
    many = PairCache(tmp_path, source, 50)
    with pytest.raises(KeyboardInterrupt):
        many.fill(2, stop)
    assert 1 <= len(list(tmp_path.glob("*-hr.npy"))) < 10


def test_shards_without_one_of_their_files_are_recorded_again(source, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_cache, "_record_shard", recorders.without_pictures)
    two = PairCache(tmp_path, source, 2)
    for index in range(2):
        recorders.without_pictures(tmp_path, source, index)
    shard_cache.shard_file(tmp_path, 1, "lr").unlink()
    done: list[int] = []
    two.fill(2, done.append)
    assert done == [1, 2] and shard_cache.shard_file(tmp_path, 1, "lr").exists()


def test_a_process_that_ends_raises_one_line(source, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_cache, "_record_shard", recorders.end_process)
    with pytest.raises(TrainingError, match="a recording process ended unexpectedly") as caught:
        PairCache(tmp_path, source, 1).fill(1)
    assert "\n" not in str(caught.value)


def is_alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_recording_processes_end_with_a_killed_parent(faces, tmp_path):
    script = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(recorders.__file__).parents[1])!r})
from facesr_edge.training.data.cameras import cache, shard_cache
from support import recorders

shard_cache._record_shard = recorders.without_pictures
if __name__ == "__main__":
    source = cache.PairSource((Path({str(faces)!r}),), None, 4, 24, 0)
    cache.PairCache(Path({str(tmp_path)!r}) / "pairs", source, 9999).fill(2)
"""
    (tmp_path / "record.py").write_text(script)
    parent = psutil.Popen([sys.executable, str(tmp_path / "record.py")])
    while parent.poll() is None and len(list((tmp_path / "pairs").glob("*-hr.npy"))) < 1:
        time.sleep(0.1)
    workers = parent.children(recursive=True)
    parent.kill()
    parent.wait()
    assert len(workers) >= 2
    deadline = time.monotonic() + 60
    while (alive := [worker for worker in workers if is_alive(worker)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    for worker in alive:
        worker.kill()
    assert not alive


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (b"no picture", "is not a readable image; remove or replace it"),
        (cv2.imencode(".png", np.zeros((63, 90, 3), np.uint8))[1].tobytes(), "is 90x63 px, at least 64x64 is needed"),
    ],
)
def test_a_face_that_cannot_be_used_raises_one_line_that_names_it(faces, tmp_path, picture, message):
    shutil.copytree(faces, tmp_path / "faces")
    (tmp_path / "faces" / "wrong.png").write_bytes(picture)
    pairs = PairCache(tmp_path / "pairs", PairSource((tmp_path / "faces",), None, 4, 24, 0), 3)
    with pytest.raises(InputError, match=rf"wrong\.png {message}"):
        pairs.fill(1)


def test_temporaries_of_killed_recordings_are_removed_and_those_in_progress_kept(source, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_cache, "_record_shard", recorders.without_pictures)
    one = PairCache(tmp_path, source, 1)
    left, current = (tmp_path / f".0000-hr.npy-{digits}.part" for digits in ("00000000", "11111111"))
    for file in (left, current):
        file.write_bytes(b"half")
    os.utime(left, (0, 0))
    one.fill(1)
    assert not left.exists() and current.exists()


def test_a_damaged_description_raises_one_line(source, tmp_path):
    (tmp_path / shard_cache.DESCRIPTION).write_text("{")
    with pytest.raises(TrainingError, match=r"cannot read .*give another folder or delete it"):
        PairCache(tmp_path, source, 1)


def test_a_teacher_may_have_any_name(made, tmp_path):
    made.teach("a/b c", lambda lr: np.repeat(np.repeat(lr, 4, 1), 4, 2))
    assert len(list(tmp_path.glob("*-sr-a_b_c.npy"))) == 6 and len(made.draw(3, np.random.default_rng(0))) == 3


def test_a_folder_of_another_source_raises(source, tmp_path):
    PairCache(tmp_path, source, 1)
    for other in (replace(source, seed=4), replace(source, side=32), replace(source, scale=2)):
        with pytest.raises(TrainingError, match="holds recordings of other pictures or settings"):
            PairCache(tmp_path, other, 1)
    PairCache(tmp_path, source, 5)  # more shards of the same source


def test_folders_without_pictures_raise(faces, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image in"):
        PairCache(tmp_path / "pairs", PairSource((faces,), tmp_path / "empty", 4, 24, 0), 1)
    with pytest.raises(InputError, match="is not a folder"):
        PairCache(tmp_path / "pairs", PairSource((tmp_path / "none",), None, 4, 24, 0), 1)
