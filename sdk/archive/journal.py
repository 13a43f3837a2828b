"""What of a batch is done: written while it runs, read by the next call."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...engines.errors import OutputError, UsageError
from ..media.url import masked
from .parts import PARTS
from .storage import STATE, OutputFolder
from .tasks import ArchiveFile

IDENTITY = f"{STATE}/batch.json"
JOURNAL = f"{STATE}/journal"
FORMAT = 1
_FLUSH_S = 5.0
_FLUSH_RECORDS = 1000
_MAX_SEGMENTS = 100


@dataclass(frozen=True)
class FileRecord:
    """A file that is done, or failed.

    Args:
        source: path or URL.
        output: path below the output folder.
        version: of the input.
        error: why it failed, in one line; "" if it is done.
        bytes: size of the output.
        sha256: of the output; "" without one.
        frames: that were processed.
        faces: detected faces.
        upscaled: upscaled faces.
        too_large: faces that are too large and left alone.
        seconds: time of the workers.
        attempts: how often its tasks were started, less those of its first successful pass.
        worker: that finished it.
        notes: what was lost or converted, one line each.
        store: that got the faces, without a password; "" for none.
    """

    source: str
    output: str
    version: str
    error: str = ""
    bytes: int = 0
    sha256: str = ""
    frames: int = 0
    faces: int = 0
    upscaled: int = 0
    too_large: int = 0
    seconds: float = 0.0
    attempts: int = 0
    worker: str = ""
    notes: tuple[str, ...] = ()
    store: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "notes": list(self.notes), "seconds": round(self.seconds, 3)}

    @staticmethod
    def from_dict(document: Mapping[str, Any]) -> FileRecord:
        """The inverse of `to_dict`."""
        return FileRecord(**{**document, "notes": tuple(document["notes"])})


class BatchJournal:
    """Records of finished files in the output folder, in objects that are written once.

    Args:
        output: folder.

    Attributes:
        earlier: output name → record of earlier calls.
    """

    def __init__(self, output: OutputFolder) -> None:
        self._output = output
        self._segment = f"{time.time_ns():020d}-{os.getpid()}"
        self._count = 0
        self._waiting: list[str] = []
        self._flushed_s = time.monotonic()
        segments = sorted(output.sizes(JOURNAL))
        self.earlier = {record.output: record for record in self._read(segments)}
        if len(segments) > _MAX_SEGMENTS:
            self._merge(segments)

    def _merge(self, segments: Sequence[str]) -> None:
        """Write the records of many segments into one; the same record may be read twice if this is interrupted."""
        for record in self.earlier.values():
            self._waiting.append(_line(record))
        self.flush()
        for name in segments:
            self._output.remove(name)

    def _read(self, segments: Sequence[str]) -> Iterator[FileRecord]:
        for name in segments:
            for line in (self._output.read(name) or b"").splitlines():
                try:
                    yield FileRecord.from_dict(json.loads(line))
                except (ValueError, TypeError, KeyError):  # damaged: the file is processed again
                    continue

    def is_done(self, file: ArchiveFile, sizes: Mapping[str, int], store: str = "") -> bool:
        """Whether an earlier call finished a file.

        Args:
            file: input, as it is now.
            sizes: of the files in the output folder.
            store: that has to have its faces; "" for none.
        """
        record = self.earlier.get(file.output)
        return (
            record is not None
            and not record.error
            and (record.source, record.version) == (masked(file.source), file.version)
            and sizes.get(file.output) == record.bytes
            and (not store or record.store == store)
        )

    def add(self, record: FileRecord) -> None:
        """Add a record; it is written by `flush_due`, or when `flush` is called."""
        self._waiting.append(_line(record))

    def flush_due(self) -> None:
        """Write the records that wait if they are many, or the last ones were written some seconds ago."""
        if len(self._waiting) >= _FLUSH_RECORDS or time.monotonic() - self._flushed_s >= _FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write the records that wait."""
        if self._waiting:
            self._output.write(
                f"{JOURNAL}/{self._segment}-{self._count:06d}.jsonl", ("\n".join(self._waiting) + "\n").encode()
            )
            self._count += 1
            self._waiting.clear()
        self._flushed_s = time.monotonic()


def _line(record: FileRecord) -> str:
    return json.dumps(record.to_dict(), separators=(",", ":"))


def earlier_identity(output: OutputFolder) -> dict[str, Any]:
    """Options, networks and versions of the batch in a folder; empty if there is none that has done anything.

    Raises:
        OutputError: it cannot be read.
    """
    data = output.read(IDENTITY)
    if data is None or not (output.sizes(JOURNAL) or output.sizes(PARTS)):
        return {}
    try:
        document = json.loads(data)
    except ValueError as error:
        raise OutputError(f"{masked(output.location)}/{IDENTITY} is damaged; remove it to start anew") from error
    return document if isinstance(document, dict) else {}


def begin(output: OutputFolder, earlier: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Begin a batch in a folder, or go on with one.

    Args:
        output: folder.
        earlier: see `earlier_identity`.
        identity: of this batch.

    Raises:
        UsageError: the folder holds a batch with other options, networks or versions.
        OutputError: it cannot be written.
    """
    now = json.loads(json.dumps({"format": FORMAT, **identity}))
    if not earlier:
        output.write(IDENTITY, json.dumps(now, indent=2).encode())
        return
    for name in {**earlier, **now}:
        if earlier.get(name) != now.get(name):
            raise UsageError(
                f"{masked(output.location)} holds a batch with {name} {earlier.get(name)}, now it is {now.get(name)}; "
                "repeat the earlier options, or give another output folder"
            )
