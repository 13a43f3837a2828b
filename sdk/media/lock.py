"""Exclusive lock on an output: one run at a time writes it."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from pathlib import Path

from ...engines.errors import OutputError
from ...engines.files import max_name_bytes, sibling
from .reasons import error_reason, write_error

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class OutputLock:
    """Locks a hidden file beside an output, created if it is missing; the kernel releases it when the process ends.

    Args:
        output: file or folder that is going to be written.
        file_path: the hidden file.

    Attributes:
        descriptor: of the hidden file, open for reading and writing.
        notes: one line if the file system or the system has no locks.

    Raises:
        OutputError: another run holds the lock, or the file cannot be created.
    """

    def __init__(self, output: Path, file_path: Path) -> None:
        self.file_path = file_path
        self.notes: list[str] = []
        check_name(output)
        try:
            self.descriptor = self._locked(output)
        except OSError as error:
            raise OutputError(write_error(output, error)) from error

    def _locked(self, output: Path) -> int:
        while True:
            descriptor = os.open(self.file_path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            try:
                self._lock(output, descriptor)
                if self._is_current(descriptor):
                    os.write(descriptor, pid_line())
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # its last holder has just removed it

    def _lock(self, output: Path, descriptor: int) -> None:
        if fcntl is None:
            self.notes.append(f"{output} is not locked on this system; start no other run that writes it")
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                message = f"another run{_holder(self.file_path)} writes {output}; wait for it or give another output"
                raise OutputError(message) from None
            reason = error_reason(error)
            self.notes.append(f"{output} cannot be locked ({reason}); start no other run that writes it")

    def _is_current(self, descriptor: int) -> bool:
        try:
            there, held = self.file_path.stat(), os.fstat(descriptor)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)

    def release(self, remove: bool) -> None:
        """Release the lock; idempotent.

        Args:
            remove: remove the hidden file too.
        """
        if self.descriptor < 0:
            return
        descriptor, self.descriptor = self.descriptor, -1
        if remove and fcntl is not None:  # while it is locked: later the file may be that of another run
            self._remove()
        os.close(descriptor)
        if remove and fcntl is None:  # Windows does not remove open files
            self._remove()

    def __del__(self) -> None:
        if getattr(self, "descriptor", -1) >= 0:
            self.release(remove=False)

    def _remove(self) -> None:
        with suppress(OSError):
            self.file_path.unlink()


def lock_path(output: Path) -> Path:
    """The hidden file of an output: beside a file, in a folder."""
    return output / ".facesr-edge.journal" if output.is_dir() else sibling(output, ".", ".journal")


def check_name(output: Path) -> None:
    """Raise OutputError if no file can have this name."""
    if len(os.fsencode(output.name)) > max_name_bytes(output.parent):
        raise OutputError(f"cannot write {output}: the name is too long; give a shorter one")


def _holder(file_path: Path) -> str:
    """The process that holds the lock."""
    with suppress(OSError, ValueError, KeyError, TypeError), file_path.open("rb") as file:
        return f" (process {json.loads(file.readline(len(pid_line())))['pid']})"
    return ""


def pid_line() -> bytes:
    """First line of the hidden file; its length is fixed, so that it can be written over."""
    return json.dumps({"pid": os.getpid()}).encode().ljust(31) + b"\n"
