"""Standard input and named pipes, read once from their start to their end."""

from __future__ import annotations

import os
import select
import stat
from pathlib import Path

from ....engines.errors import InputError
from ..reasons import error_reason
from .truncation import MP4_BOXES

STDIN_NAME = "standard input"
_HEAD = 4096
_CHUNK = 1 << 16
_POLL_MS = 200


class Pipe:
    """Bytes of a pipe; a blocked read ends when the pipe is closed.

    Args:
        descriptor: open file descriptor; this class closes it.
        name: name for messages.

    Attributes:
        head: first bytes, read in advance.
        size: number of bytes read so far.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self.size = 0
        self._descriptor = descriptor
        self._closed = False
        self._poll = None
        if hasattr(select, "poll"):  # not on Windows, where reads block
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLIN)
        self.head = b""
        while len(self.head) < _HEAD and (data := self._read(_CHUNK)):
            self.head += data
        self._waiting = self.head

    def read(self, count: int = -1) -> bytes:
        """Read up to `count` bytes, or all; b"" at the end, and once the pipe is closed."""
        if count < 0:
            return b"".join(iter(lambda: self.read(_CHUNK), b""))
        data, self._waiting = self._waiting[:count], self._waiting[count:]
        data = data or self._read(count)
        self.size += len(data)
        return data

    @property
    def is_mp4(self) -> bool:
        """Whether it has the boxes of MP4 or MOV."""
        return self.head[4:8] in MP4_BOXES

    def close(self) -> None:
        """End a blocked read."""
        self._closed = True

    def __del__(self) -> None:
        os.close(self._descriptor)

    def _read(self, count: int) -> bytes:
        while not self._closed:
            try:
                if self._poll is None or self._poll.poll(_POLL_MS):
                    return os.read(self._descriptor, count)
            except BlockingIOError:  # another process took the bytes
                continue
            except OSError as error:
                raise InputError(f"{self.name} cannot be read: {error_reason(error)}") from error
        return b""


def open_stdin() -> Pipe:
    """Open standard input.

    Raises:
        InputError: it is closed, empty or a terminal.
    """
    try:
        descriptor = os.dup(0)
    except OSError as error:
        raise InputError(f"{STDIN_NAME} is closed; pipe a file into it, or give a path") from error
    if os.isatty(descriptor):
        os.close(descriptor)
        raise InputError(f"{STDIN_NAME} is a terminal; pipe a file into it, or give a path")
    return _not_empty(Pipe(descriptor, STDIN_NAME))


def open_pipe(path: Path, timeout_s: float) -> Pipe:
    """Open a named pipe or a device.

    Args:
        path: the pipe.
        timeout_s: maximum wait for a program that writes to it, in seconds.

    Raises:
        InputError: it cannot be opened, or nothing writes to it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        if os.isatty(descriptor):
            os.close(descriptor)
            raise InputError(f"{path} is a terminal; pipe a file into it, or give a path")
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            if not poll.poll(timeout_s * 1000):
                os.close(descriptor)
                raise InputError(f"no program writes to {path} for {timeout_s:g} s; start one, e.g. cat clip.mkv")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error_reason(error)}") from error
    return _not_empty(Pipe(descriptor, str(path)))


def is_redirected_file() -> bool:
    """Whether standard input is a regular file."""
    try:
        return stat.S_ISREG(os.fstat(0).st_mode)
    except OSError:
        return False


def is_terminal(path: Path) -> bool:
    """Whether a device is a terminal."""
    if not path.is_char_device():
        return False
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        return os.isatty(descriptor)
    finally:
        os.close(descriptor)


def _not_empty(pipe: Pipe) -> Pipe:
    if not pipe.head:
        raise InputError(f"{pipe.name} is empty (0 bytes); check the program that writes to it")
    return pipe
