"""A file of JSON lines beside an output that survives a killed process, and locks the output."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from ...engines.errors import OutputError
from .lock import OutputLock, lock_path, pid_line
from .reasons import write_error

_FIRST_BYTES = 64
HEAD_BYTES = len(pid_line()) + _FIRST_BYTES
"""Bytes of the two lines that are written over."""


class JournalFile:
    """JSON objects, one a line, in a hidden file beside an output.

    A last line that a killed process or a power failure left unfinished is ignored, with all after it.

    Args:
        output: file or folder that is going to be written.

    Attributes:
        output: see above.
        notes: one line if the output cannot be locked.

    Raises:
        OutputError: another run writes the output, or the file cannot be created.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self._lock = OutputLock(output, lock_path(output))
        self.notes = self._lock.notes
        self._writing = Lock()  # frames are written in one thread, their results in another
        self._length = 0

    def read(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield offset and object of each whole line."""
        self._length = 0
        with self._open() as file:
            for line in file:
                record = _object(line)
                if record is None:
                    return
                yield self._length, record
                self._length += len(line)

    def _open(self) -> BinaryIO:
        try:
            return self._lock.file_path.open("rb")
        except OSError as error:
            self.close(remove=os.fstat(self._lock.descriptor).st_size <= HEAD_BYTES)
            raise OutputError(write_error(self.output, error)) from error

    def at(self, offset: int) -> dict[str, Any]:
        """The object at an offset that `read` yielded."""
        with self._open() as file:
            file.seek(offset)
            return _object(file.readline()) or {}

    def truncate(self) -> None:
        """Remove what follows the last line that `read` yielded."""
        os.ftruncate(self._lock.descriptor, self._length)

    def add(self, record: Mapping[str, Any]) -> int:
        """Append an object.

        Returns:
            Its offset.

        Raises:
            OutputError: the file cannot be written.
        """
        line = (json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n").encode()
        try:
            with self._writing:
                offset = os.lseek(self._lock.descriptor, 0, os.SEEK_END)
                while line:  # a full disk takes a part of the line first and says why at the next call
                    line = line[os.write(self._lock.descriptor, line) :]
                return offset
        except OSError as error:
            raise OutputError(write_error(self._lock.file_path, error)) from error

    def begin(self, record: Mapping[str, Any]) -> None:
        """Remove all lines and write a first one, which `replace_first` can write over, also on a full disk."""
        os.ftruncate(self._lock.descriptor, len(pid_line()))
        self.replace_first(record)

    def replace_first(self, record: Mapping[str, Any]) -> None:
        """Write over the line of `begin`.

        Raises:
            OutputError: the file cannot be written.
        """
        try:
            with self._writing:
                os.lseek(self._lock.descriptor, len(pid_line()), os.SEEK_SET)
                os.write(self._lock.descriptor, json.dumps(record).encode().ljust(_FIRST_BYTES - 1) + b"\n")
        except OSError as error:
            raise OutputError(write_error(self._lock.file_path, error)) from error

    def flush(self) -> None:
        """Flush the file to the disk."""
        os.fsync(self._lock.descriptor)

    def close(self, remove: bool) -> None:
        """Release the lock, and remove the file if asked to; idempotent."""
        self._lock.release(remove)


def _object(line: bytes) -> dict[str, Any] | None:
    """Object of a line; None if the line is not whole."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and line.endswith(b"\n") else None
