"""Folders for the temporary files of workers; those of workers that were killed are removed by the next one."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from ...engines.errors import OutputError
from ..media.reasons import write_error

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PREFIX = "facesr-batch-"
_LOCK = ".lock"


class Scratch:
    """A new folder for temporary files, locked while its process lives.

    Args:
        parent: where it is created; None for the system's folder of temporary files.

    Attributes:
        path: of the folder.

    Raises:
        OutputError: it cannot be created.
    """

    def __init__(self, parent: Path | None) -> None:
        parent = parent or Path(tempfile.gettempdir())
        self._descriptor = -1
        try:
            parent.mkdir(parents=True, exist_ok=True)
            remove_abandoned(parent)
            self.path = Path(tempfile.mkdtemp(prefix=_prefix(), dir=parent))
            self._lock()
        except OSError as error:
            raise OutputError(write_error(parent, error)) from error

    def _lock(self) -> None:
        """Put a locked file into the folder: it has its name only once it is locked."""
        if fcntl is None:
            return
        new = self.path / f"{_LOCK}.new"
        self._descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with suppress(OSError):  # a file system without locks: nothing is removed there
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new.rename(self.path / _LOCK)

    def close(self) -> None:
        """Remove the folder; idempotent."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def remove_abandoned(parent: Path) -> None:
    """Remove the folders of workers of this machine and user that live no more.

    Args:
        parent: folder of scratch folders.
    """
    if fcntl is None:
        return
    for folder in parent.glob(f"{_prefix()}*"):
        with suppress(OSError):  # of another user, without a lock, or locked: in use
            if folder.lstat().st_uid != os.getuid():
                continue
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _prefix() -> str:
    """Of the names of folders of this machine: locks of others may not be seen."""
    return f"{_PREFIX}{platform.node()[:40]}-"
