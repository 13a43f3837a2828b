"""Atomic writes and the cache folder."""

import os
import stat

import pytest
from facesr_edge.engines.files import (
    atomic_file,
    atomic_folder,
    cache_dir,
    prune,
    remove_temporaries,
    sibling,
    write_atomic,
)


def test_write_atomic_creates_and_replaces(tmp_path):
    path = tmp_path / "card.json"
    for data in (b"first", b"second"):
        write_atomic(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_error_leaves_the_old_file_and_no_temporary_file(tmp_path):
    path = tmp_path / "card.json"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic_file(path) as file:
        file.write(b"half of the new")
        raise RuntimeError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_atomic_folder_replaces_a_folder(tmp_path):
    for name in ("first", "second"):
        with atomic_folder(tmp_path / "bundle") as folder:
            (folder / name).write_bytes(b"")
        assert [path.name for path in (tmp_path / "bundle").iterdir()] == [name]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_error_leaves_the_old_folder(tmp_path):
    (tmp_path / "bundle").mkdir()
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "bundle") as folder:
        (folder / "new").write_bytes(b"")
        raise RuntimeError
    assert [*tmp_path.rglob("*")] == [tmp_path / "bundle"]


def test_full_disk_leaves_the_old_file(tmp_path, no_file_larger_than):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    with no_file_larger_than(1000), pytest.raises(OSError):
        write_atomic(path, bytes(2000))
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_atomic(tmp_path / "atomic", b"")
    assert stat.S_IMODE((tmp_path / "atomic").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_cache_dir_follows_the_users_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir("ranges") == tmp_path / "facesr-edge" / "ranges"


def test_prune_deletes_the_files_read_longest_ago(tmp_path):
    for age, name in enumerate("abc"):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1000 - age, 0))
    prune(tmp_path, 300)
    assert len(list(tmp_path.iterdir())) == 3
    prune(tmp_path, 250)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    prune(tmp_path, 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.png", "猫" * 82 + ".png", "x" * 255])
def test_names_of_any_length_are_written_atomically_and_cleaned_up(tmp_path, name):
    path = tmp_path / name
    write_atomic(path, b"new")
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as file:
        (temporary,) = (other for other in tmp_path.iterdir() if other != path)
        file.write(b"half")
        raise KeyboardInterrupt
    temporary.write_bytes(b"left by a killed process")
    (tmp_path / ".other-01234567.part").write_bytes(b"of another file")
    remove_temporaries([path])
    assert sorted(other.name for other in tmp_path.iterdir()) == sorted([name, ".other-01234567.part"])


def test_recent_temporaries_of_others_are_kept(tmp_path):
    old, new = (tmp_path / f".a.npy-{digits}.part" for digits in ("00000000", "11111111"))
    for file in (old, new):
        file.write_bytes(b"half")
    an_hour_ago = old.stat().st_mtime - 3600
    os.utime(old, (an_hour_ago, an_hour_ago))
    remove_temporaries([tmp_path / "a.npy"], min_age_s=1800)
    assert not old.exists() and new.exists()


def test_sibling_keeps_short_names_and_tells_long_ones_apart(tmp_path):
    assert sibling(tmp_path / "a.mp4", ".", ".journal").name == ".a.mp4.journal"
    names = {sibling(tmp_path / ("x" * 250 + end), ".", ".journal").name for end in ("1.mp4", "2.mp4")}
    assert len(names) == 2 and {len(name) for name in names} == {255}
