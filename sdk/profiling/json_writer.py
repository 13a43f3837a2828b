"""Streaming JSON output of a run: one document, or one line for each frame."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from ...engines.errors import OutputError
from ...engines.files import atomic_file
from ..media.reasons import error_reason, is_full

if TYPE_CHECKING:
    from ..pipeline.results import FrameResult
    from ..pipeline.summary import RunSummary


class Summary(Protocol):
    """What the last line of JSON lines holds."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""


class JsonWriter:
    """Writes a JSON document ``{..., "frames": [...], "notes": [...], "summary": {...}}``; a context manager.

    Frames are written one by one, in constant memory. A file is written atomically. If the ``with`` block ends with an
    exception, the document is completed with the frames added so far; without any frame, an existing file stays
    unchanged.

    Args:
        destination: file or text stream.
        head: fields before the frames, e.g. ``{"model": "idrn-x4"}``.
        summary: called at the end.

    Attributes:
        count: number of frames written.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, destination: Path | TextIO, head: dict[str, Any], summary: Callable[[], RunSummary]) -> None:
        self.count = 0
        self._head = json.dumps({**head, "frames": []}, indent=1, allow_nan=False).removesuffix("[]\n}")
        self._summary = summary
        self._name = destination if isinstance(destination, Path) else "standard output"
        self._file = ExitStack()
        self._stream = self._open(destination) if isinstance(destination, Path) else destination

    def _open(self, path: Path) -> TextIO:
        if path.is_dir():
            raise OutputError(f"{path} is a folder; give a .json file")
        try:
            return TextIOWrapper(self._file.enter_context(atomic_file(path)), "utf-8", write_through=True)
        except OSError as error:
            raise write_error(self._name, error) from None

    def add(self, result: FrameResult, **fields: str) -> None:
        """Append one frame, with further fields before its own."""
        self.add_record({**fields, **result.to_dict()})

    def add_record(self, record: dict[str, Any]) -> None:
        """Append the JSON of one frame."""
        prefix = ",\n" if self.count else f"{self._head}[\n"
        self._write(f"{prefix}  {json.dumps(record, allow_nan=False)}")
        self.count += 1

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise write_error(self._name, error) from None

    def __enter__(self) -> JsonWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: Any) -> None:
        if self.count == 0 and kind is not None:
            with suppress(OSError):
                self._file.__exit__(kind, error, trace)  # discards the temporary file
            return
        try:
            with self._file:
                if kind is not BrokenPipeError:
                    self._write("\n ]" if self.count else f"{self._head}[]")
                    self._write(",\n " + json.dumps(_tail(self._summary()), indent=1, allow_nan=False)[3:] + "\n")
                    self._stream.flush()
        except OSError as failure:
            if kind is None:
                raise write_error(self._name, failure) from None


class JsonLinesWriter:
    """Writes one JSON document a line: ``{"type": "run", ...}``, ``{"type": "frame", ...}`` for each frame, and
    ``{"type": "summary", ...}`` at the end, also after an exception; a context manager.

    Each line is written at once. A file grows under its final name: at any time, and also if the process is killed, all
    of its lines are valid, except that a kill can cut the last one.

    Args:
        destination: file or text stream.
        head: fields of the first line.
        summary: called at the end.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, destination: Path | TextIO, head: dict[str, Any], summary: Callable[[], Summary]) -> None:
        self._summary, self._head = summary, head
        self._name = destination if isinstance(destination, Path) else "standard output"
        self._stream = None if isinstance(destination, Path) else destination
        self._file, self._size = -1, 0
        if isinstance(destination, Path):
            try:
                self._file = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
            except OSError as error:
                raise write_error(destination, error) from None

    def add(self, result: FrameResult, **fields: str) -> None:
        """Append the line of one frame, with further fields before its own."""
        self.add_record({**fields, **result.to_dict()})

    def add_record(self, record: dict[str, Any]) -> None:
        """Append the JSON of one frame."""
        self._write({"type": "frame", **record})

    def _write(self, document: dict[str, Any]) -> None:
        line = json.dumps(document, allow_nan=False) + "\n"
        try:
            if self._stream:
                self._stream.write(line)
                self._stream.flush()
            else:
                self._append(line.encode())
        except BrokenPipeError:
            raise
        except OSError as error:
            raise write_error(self._name, error) from None

    def _append(self, line: bytes) -> None:
        """Write a whole line or, on a full disk, nothing of it."""
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError:
            with suppress(OSError):  # not for a pipe or a device
                os.ftruncate(self._file, self._size)
                os.lseek(self._file, self._size, os.SEEK_SET)
            raise
        self._size += len(line)

    def __enter__(self) -> JsonLinesWriter:
        self._write({"type": "run", **self._head})
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: Any) -> None:
        try:
            if kind is not BrokenPipeError:
                self._write({"type": "summary", **self._summary().to_dict()})
        except (OSError, OutputError):
            if kind is None:
                raise
        finally:
            if self._file >= 0:
                os.close(self._file)


def _tail(summary: RunSummary) -> dict[str, Any]:
    fields = summary.to_dict()
    return {"notes": fields.pop("notes"), "summary": fields}


def write_error(name: Path | str, error: OSError) -> OutputError:
    """Error of a file that cannot be written, or of "standard output"."""
    if isinstance(error, FileNotFoundError):
        return OutputError(f"cannot write {name}: its folder does not exist; create it, or choose another file")
    if isinstance(error, IsADirectoryError):
        return OutputError(f"cannot write {name}: it is a folder; choose another file")
    remedy = "free some space or choose another file" if is_full(error) else "choose another file"
    return OutputError(f"cannot write {name}: {error_reason(error)}; {remedy}")


def write_text(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise write_error(path, error) from None
