"""Reading of regular files only, atomic writes of files and folders, and the user's cache folder."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_TEMPORARY = ".part"


def max_name_bytes(folder: Path) -> int:
    """Longest file name in a folder, in bytes."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):  # no such folder, no such limit, Windows
        return 255


def sibling(path: Path, prefix: str, suffix: str) -> Path:
    """A path in the same folder, named prefix + name + suffix.

    A name that is too long for the file system is shortened at its end, with a hash of the whole name in its place.
    """
    name, encoded = path.name, os.fsencode(path.name)
    free = max_name_bytes(path.parent) - len(os.fsencode(prefix + suffix))
    if len(encoded) > free:
        hashed = "-" + hashlib.sha256(encoded).hexdigest()[:8]
        name = encoded[: free - len(hashed)].decode(errors="ignore") + hashed
    return path.with_name(prefix + name + suffix)


def remove_temporaries(paths: Iterable[Path], min_age_s: float = 0) -> None:
    """Remove the temporary files that killed processes left, see `atomic_file`.

    Args:
        paths: files that nobody else writes at present.
        min_age_s: time since the last write from which on a temporary file is removed, in seconds; longer than it
            takes to write a file where others may do so.
    """
    newest = time.time() - min_age_s if min_age_s else math.inf
    prefixes: dict[Path, set[str]] = {}
    for path in paths:
        name = sibling(path, ".", f"-{'0' * 8}{_TEMPORARY}").name
        prefixes.setdefault(path.parent, set()).add(name[: -8 - len(_TEMPORARY)])
    for folder, starts in prefixes.items():
        with suppress(OSError):
            for file in folder.glob(f".*{_TEMPORARY}"):
                if file.name[: -8 - len(_TEMPORARY)] in starts and file.stat().st_mtime <= newest:
                    file.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk; where the file system or the system cannot, nothing is done.

    Raises:
        OSError: the disk is full or failed, so that data that was written before is lost.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder on Windows
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
    finally:
        os.close(descriptor)


def read_regular(path: Path, max_bytes: int | None = None) -> bytes:
    """Read a file that must be a regular one, or a link to one: a pipe or a device could block or never end.

    Args:
        path: the file.
        max_bytes: limit of its size; None for no limit.

    Raises:
        OSError: missing, unreadable, not a regular file, or too large; ``strerror`` has the reason.
        ValueError: the name contains a null character.
    """
    check_regular(path.stat(), max_bytes)  # before it is opened: opening a device may have an effect
    # Without O_NONBLOCK, opening a pipe that took the file's place meanwhile would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        check_regular(os.fstat(descriptor), max_bytes)
        data = file.read() if max_bytes is None else file.read(max_bytes + 1)
    if max_bytes is not None and len(data) > max_bytes:  # it grew while it was read
        raise _too_large(max_bytes)
    return data


def check_regular(status: os.stat_result, max_bytes: int | None = None) -> None:
    """Raise an OSError, see `read_regular`, unless the status is that of a regular file of at most `max_bytes`."""
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    if max_bytes is not None and status.st_size > max_bytes:
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> OSError:
    return OSError(errno.EFBIG, f"it has more than {max_bytes >> 20} MiB")


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
    temporary = sibling(path, ".", f"-{secrets.token_hex(4)}{_TEMPORARY}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically, see `atomic_file`."""
    with atomic_file(path) as file:
        file.write(data)


def check_replaceable(path: Path) -> None:
    """Check that `atomic_folder` can write a folder; nothing is left on the disk.

    Raises:
        OSError: it cannot; ``strerror`` has the reason.
    """
    target = path.resolve()
    parent = next(folder for folder in target.parents if folder.exists())
    Path(tempfile.mkdtemp(prefix=".", suffix=_TEMPORARY, dir=parent)).rmdir()
    if not target.exists():
        return
    with suppress(FileNotFoundError):  # the current folder was deleted
        current = Path.cwd()
        if target in (current, *current.parents):  # renamed away, it would be gone for the user's shell too
            raise OSError(errno.EBUSY, "it is the current folder, which cannot be replaced")
    if target.is_mount():
        raise OSError(errno.EBUSY, "it is a mount point, which cannot be replaced")
    effective = os.access in os.supports_effective_ids
    if not os.access(target, os.W_OK | os.X_OK, effective_ids=effective):
        raise OSError(errno.EACCES, "it is read-only")


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
    check_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".", suffix=_TEMPORARY, dir=target.parent))
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

    Files in subfolders count too. Other processes may delete files at the same time.

    Raises:
        OSError: the folder cannot be read; files that cannot be deleted are left.
    """
    files = []
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            status = path.stat()
            files += [(path, status)] if stat.S_ISREG(status.st_mode) else []
    total = sum(status.st_size for _, status in files)
    for path, status in sorted(files, key=lambda item: item[1].st_atime):
        if total <= max_bytes:
            return
        with suppress(OSError):
            path.unlink()
        total -= status.st_size


def cache_dir(name: str) -> Path:
    """Subfolder of this package's folder in the user's cache, e.g. ``~/.cache/facesr-edge/ranges``; not created."""
    from platformdirs import user_cache_path  # not needed to import the package

    return user_cache_path("facesr-edge", appauthor=False) / name
