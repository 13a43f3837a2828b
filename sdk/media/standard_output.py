"""Outputs that cannot be sought: standard output and FIFOs."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from ...engines.errors import OutputError
from .reasons import write_error

_NAMES = frozenset({"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})


def is_standard_output(path: str | Path) -> bool:
    """Whether a path stands for standard output."""
    return str(path) in _NAMES


def is_stream(path: str | Path) -> bool:
    """Whether a path is standard output, a FIFO or a device, which are written from start to end."""
    if is_standard_output(path):
        return True
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def open_stream(path: Path) -> BinaryIO:
    """Open a stream for writing; a FIFO waits for its reader.

    Returns:
        An unbuffered binary file. Closing it does not close standard output.

    Raises:
        OutputError: it cannot be opened.
    """
    try:
        if is_standard_output(path):
            return os.fdopen(os.dup(1), "wb", buffering=0)
        return path.open("wb", buffering=0)
    except OSError as error:
        raise OutputError(write_error(path, error)) from error


def write_all(stream: BinaryIO, data: bytes | memoryview) -> None:
    """Write all bytes; a pipe may take a part of them at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) or 0 :]
