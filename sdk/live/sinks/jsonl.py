"""JSON lines of a live run: one for each result and each change of a camera's state."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....engines.errors import OutputError, UsageError
from ....engines.files import sibling
from ...media.lock import OutputLock
from ...profiling.json_writer import JsonLinesWriter, write_error
from .set_aside import set_aside
from .sink import LiveSink

if TYPE_CHECKING:
    from ..camera import CameraStatus
    from ..results import LiveResult

MIN_BYTES = 1 << 16


@dataclass
class FileSummary:
    """Last line of a file; a file without it is being written, or its writer was killed.

    Attributes:
        results: lines of results.
        faces: upscaled faces in them.
    """

    results: int = 0
    faces: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class JsonlSink(LiveSink[dict[str, Any]]):
    """Writes lines of the types "run", "frame", "camera" and "summary", see `JsonLinesWriter`.

    Each line is written at once. Nothing is overwritten: a file that exists, or that has grown to `max_bytes`, is
    renamed by the time of its last line, e.g. "faces-20261129T173000.jsonl". A file that was renamed or removed
    meanwhile, e.g. by logrotate, is begun anew.

    Args:
        path: file.
        about: fields of the first line.
        max_bytes: size from which on a new file begins; None for no limit.

    Raises:
        OutputError: the file cannot be written, or another run writes it.
        UsageError: `max_bytes` is below 64 KiB.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], max_bytes: int | None = None) -> None:
        super().__init__(str(path))
        check_max_bytes(max_bytes)
        self._path, self._about, self._max_bytes = path, dict(about), max_bytes
        self._lock = _lock(path)
        self._writer: JsonLinesWriter | None = None
        try:
            self._current()
        except OutputError:
            self._lock.release(remove=True)
            raise

    def _current(self) -> JsonLinesWriter:
        """The writer; of a new file if the last one is gone or full."""
        if self._writer is None or _file_id(self._path) != self._file_id or self._is_full():
            self._finish()
            self._writer = self._open()
        return self._writer

    def _is_full(self) -> bool:
        return self._max_bytes is not None and self._path.stat().st_size >= self._max_bytes

    def _open(self) -> JsonLinesWriter:
        set_aside(self._path)
        self._summary = summary = FileSummary()
        writer = JsonLinesWriter(self._path, {**self._about, "started_s": round(time.time(), 3)}, lambda: summary)
        self._file_id = _file_id(self._path)
        return writer.__enter__()

    def _finish(self) -> None:
        """Write the summary; a writer is not used again, whether it succeeds or not."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.__exit__(None, None, None)

    def select(self, result: LiveResult) -> Sequence[dict[str, Any]]:
        """See `LiveSink`."""
        return [{"type": "frame", **result.to_dict()}]

    def select_status(self, status: CameraStatus) -> Sequence[dict[str, Any]]:
        """See `LiveSink`."""
        return [{"type": "camera", "clock_s": round(time.time(), 3), **asdict(status)}]

    def write(self, items: Sequence[dict[str, Any]]) -> None:
        """See `LiveSink`."""
        for item in items:
            self._current().add_record(item)
            self._summary.results += item["type"] == "frame"
            self._summary.faces += len(item.get("faces", ()))

    def close(self) -> None:
        """See `LiveSink`."""
        try:
            self._finish()
        finally:
            self._lock.release(remove=True)


def check_max_bytes(max_bytes: int | None) -> None:
    """See `JsonlSink`.

    Raises:
        UsageError: it is below 64 KiB.
    """
    if max_bytes is not None and max_bytes < MIN_BYTES:
        raise UsageError(f"expected files of {MIN_BYTES:,} bytes or more, got {max_bytes:,}")


def _lock(path: Path) -> OutputLock:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    return OutputLock(path, sibling(path, ".", ".lock"))


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
