"""Atomic writes of files and folders, and the user's cache folder."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears complete or not at all.

    The data goes to a temporary file in the same folder, is flushed to the disk, and replaces `path` when the ``with``
    block ends without an error. After an error the temporary file is removed and `path` is unchanged.

    Args:
        path: destination; its folder must exist.

    Raises:
        OSError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically, see `atomic_file`."""
    with atomic_file(path) as file:
        file.write(data)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that appears complete or not at all.

    The files go to a temporary folder next to `path`, which replaces `path` when the ``with`` block ends without an
    error. After an error the temporary folder is removed and `path` is unchanged.

    Args:
        path: destination; missing parents are created, an existing folder is replaced, a symbolic link is followed.

    Raises:
        OSError: the folder cannot be written.
    """
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    new, old = temporary / "new", temporary / "old"
    try:
        new.mkdir()
        yield new
        if target.exists():
            target.replace(old)
        try:
            new.replace(target)
        except OSError:
            if old.exists():
                old.replace(target)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def prune(folder: Path, max_bytes: int) -> None:
    """Delete the files of a folder that were read longest ago, until the others have at most `max_bytes`.

    Raises:
        OSError: the folder cannot be read; files that cannot be deleted are left.
    """
    files = [(path, path.stat()) for path in folder.iterdir() if path.is_file()]
    total = sum(stat.st_size for _, stat in files)
    for path, stat in sorted(files, key=lambda item: item[1].st_atime):
        if total <= max_bytes:
            return
        with suppress(OSError):
            path.unlink()
        total -= stat.st_size


def cache_dir(name: str) -> Path:
    """Subfolder of this package's folder in the user's cache, e.g. ``~/.cache/facesr-edge/ranges``; not created."""
    from platformdirs import user_cache_path  # not needed to import the package

    return user_cache_path("facesr-edge", appauthor=False) / name
