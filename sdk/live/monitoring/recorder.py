"""Flight recorder of a live run: a small file of times, treatments and states, without pictures or positions."""

from __future__ import annotations

import json
import logging
import math
import os
import time
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ....engines.errors import OutputError, UsageError
from ....engines.files import sibling
from ...doctor.machine import this_machine
from ...media.lock import OutputLock
from ...media.reasons import error_reason, write_error
from ...media.url import masked
from ..observer import Cycle, Observer
from ..sinks.set_aside import set_aside

if TYPE_CHECKING:
    from ..camera import CameraStatus
    from ..live import Live
    from ..results import LiveResult

FORMAT = "facesr-edge recording"
_BEGINNING = f'{{"format":"{FORMAT}"'.encode()
VERSION = 1
"""Of the file format; a reader refuses a newer one."""
COSTS_S = 10.0
"""Time between two records of what the work costs."""
FLUSH_S = 0.25
"""Time between writes: what a killed process loses at most."""
MAX_WAITING = 5_000
"""Events that wait for a disk that does not write; more are counted as lost."""
MAX_UNWRITTEN = 1 << 20
"""Bytes that a full disk has not taken before the recording ends."""
LEVEL = 6
"""Of the compression: 50 bytes for a result with five faces, 72 at level 1."""
MIN_MB = 0.1
HEAD_BYTES = 1 << 12
"""What is read of an earlier file to recognize it."""
CLOSE_S = 0.8
"""Maximum wait for the disk when the run ends."""

logger = logging.getLogger(__name__)


def older_part(path: Path) -> Path:
    """The file with the events before those in `path`."""
    return path.with_name(f"{path.name}.1")


class Recorder(Observer):
    """Writes what happens in a live run to a file of JSON lines, compressed with gzip, for `facesr-edge replay`.

    The file is complete up to `FLUSH_S` before a kill. When it has half of `max_mb`, it replaces the older part, named
    "FILE.1", and begins anew: together they hold the newest events. The recording of an earlier run is renamed by the
    time of its last change, e.g. to "live-20261129T173000.rec". A disk that is full ends the recording, not the run.

    Args:
        path: file to write, e.g. "live.rec".
        about: facts of the run; ready for JSON. `facesr-edge replay --live` uses "model", "small_model", "detector",
            "engine", "precision", "threads", "outscale", "frames" and "track_model", if they are not the defaults of
            `live`.
        max_mb: maximum size of both parts together, in MB.

    Attributes:
        lost: number of events that could not be written.

    Raises:
        OutputError: the file cannot be created, is no recording, or another run writes it.
        UsageError: `max_mb` is below `MIN_MB`.
    """

    def __init__(self, path: str | Path, about: Mapping[str, Any] | None = None, *, max_mb: float = 32.0) -> None:
        if max_mb < MIN_MB:
            raise UsageError(f"a recording of at most {max_mb} MB holds nothing; expected {MIN_MB} or more")
        self.lost = self._lost_written = 0
        self._path, self._part_bytes = Path(path), int(max_mb * 1e6 / 2)
        self._origin_s, self._run = time.monotonic(), uuid4().hex
        self._head: dict[str, Any] = {
            **{"format": FORMAT, "version": VERSION, "run": self._run, "started_unix_s": round(time.time(), 3)},
            **{"machine": this_machine().to_dict(), "about": dict(about or {})},
        }
        self._given = frozenset(about or ())
        self._cameras: dict[str, int] = {}
        self._live: Callable[[], Live | None] = lambda: None
        self._costs_due_s = 0.0
        self._states: dict[int, dict[str, Any]] = {}
        self._naming = Lock()
        self._waiting: deque[dict[str, Any]] = deque()
        self._closing = Event()
        self._failed, self._file = False, -1
        self._lock = OutputLock(self._path, sibling(self._path, ".", ".lock"))
        try:
            _set_aside_earlier(self._path)
            self._begin_part()
        except OutputError:
            self._lock.release(remove=True)
            raise
        self._thread = Thread(target=self._write_until_closed, name="recorder", daemon=True)
        self._thread.start()

    def describe(self, **facts: Any) -> None:
        """Add facts of the run that were not known before, see `about`."""
        self._put({"about": facts})

    def follow(self, live: Live) -> None:
        """Add the facts of a run, and from now on what its work costs, which `facesr-edge replay` needs."""
        self._live = weakref.ref(live)
        facts = {"model": live.card.name, "budget_ms": live.budget_ms}
        self.describe(**{name: fact for name, fact in facts.items() if name not in self._given})

    def arrived(self, camera: str, time_s: float) -> None:
        """See `Observer`."""
        self._put({"arrival": self._index(camera), "at_us": self._us(time_s)})

    def changed(self, status: CameraStatus) -> None:
        """See `Observer`."""
        counts = {"received": status.received, "dropped": dict(status.dropped), "reconnects": status.reconnects}
        state = {"at_us": self._us(time.monotonic()), "state": status.state, "error": masked(status.error)}
        self._put({"status": self._index(status.name), **state, **counts})

    def done(self, result: LiveResult) -> None:
        """See `Observer`."""
        self._put({"result": self._index(result.camera), **self._record_of(result)})

    def cycled(self, cycle: Cycle) -> None:
        """See `Observer`."""
        self._put(
            {
                "cycle": [self._index(name) for name in cycle.cameras],
                "start_us": self._us(cycle.start_s),
                "end_us": self._us(cycle.end_s),
                "budget_ms": cycle.budget_ms if math.isfinite(cycle.budget_ms) else None,  # files have no deadline
                "stages_us": {name: round(1e3 * ms) for name, ms in cycle.stages_ms.items()},
            }
        )

    def close(self) -> None:
        """Write what waits and end the file; idempotent."""
        self._closing.set()
        self._thread.join(CLOSE_S)

    def _record_of(self, result: LiveResult) -> dict[str, Any]:
        times, detection, size = result.times, result.detection, result.source.pixels.shape
        camera_ms = times.camera_ms
        return {
            "at_us": self._us(times.arrival_s),
            "taken_us": self._us(times.taken_s),
            "done_us": self._us(times.done_s),
            "camera_ms": None if camera_ms is None else round(camera_ms, 1),
            "size_wh": [size[1], size[0]],
            "dropped": result.dropped,
            "damaged": result.source.damaged,
            "detection": detection and [detection.kind, round(detection.megapixels, 3)],
            "stages_us": _stages_us(result),
            "faces": [[f.track_id, len(f.original), f.treatment, f.reason, f.detected] for f in result.faces],
            "skipped": [[face.track_id, _side(face.box_xyxy), face.reason] for face in result.skipped],
        }

    def _us(self, time_s: float) -> int:
        """Microseconds since the beginning of the recording."""
        return round(1e6 * (time_s - self._origin_s))

    def _index(self, camera: str) -> int:
        """Number of a camera; its name is written once in each part."""
        index = self._cameras.get(camera)
        if index is None:
            with self._naming:
                index = self._cameras.get(camera, len(self._cameras))
                if camera not in self._cameras:  # a reader meets the name before the first event
                    self._put({"camera": index, "name": masked(camera)})
                self._cameras[camera] = index
        return index

    def _put(self, record: dict[str, Any]) -> None:
        if self._failed or len(self._waiting) >= MAX_WAITING:
            self.lost += 1
        else:
            self._waiting.append(record)

    def _write_until_closed(self) -> None:
        try:
            while not self._closing.wait(FLUSH_S):
                self._flush()
            self._costs_due_s = 0.0
            self._flush()
            self._end_part()
        except Exception as error:  # must not end the run
            self._fail(error)
        finally:
            self._lock.release(remove=True)

    def _flush(self) -> None:
        """Write the events that wait, so that a reader can use them at once."""
        records = [self._waiting.popleft() for _ in range(len(self._waiting))]
        live = self._live() if time.monotonic() >= self._costs_due_s else None
        if live is not None and (costs_ms := live.costs_ms):  # empty before the engines are measured
            self._costs_due_s = time.monotonic() + COSTS_S
            records.append({"costs_ms": costs_ms, "at_us": self._us(time.monotonic())})
        if self.lost > self._lost_written:
            self._lost_written = self.lost
            records.append({"lost": self.lost})
        if records:
            self._add_lines(records)
        if self._written > self._part_bytes:
            self._end_part()
            self._begin_part()

    def _add_lines(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            if "status" in record:
                self._states[record["status"]] = record
            self._head["about"].update(record.get("about", {}))
        lines = "".join(f"{json.dumps(record, separators=(',', ':'), allow_nan=False)}\n" for record in records)
        self._write(self._gzip.compress(lines.encode()) + self._gzip.flush(zlib.Z_SYNC_FLUSH))

    def _begin_part(self) -> None:
        """Move the full file, if there is one, to the older part and begin it with all that the events refer to."""
        try:
            if self._path.exists():
                self._path.replace(older_part(self._path))
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise OutputError(write_error(self._path, error)) from error
        self._gzip, self._unwritten, self._written = zlib.compressobj(LEVEL, zlib.DEFLATED, 31), b"", 0
        names = [{"camera": index, "name": masked(name)} for name, index in list(self._cameras.items())]
        self._add_lines([self._head, *names, *self._states.values()])

    def _end_part(self) -> None:
        self._write(self._gzip.flush())
        os.close(self._file)
        self._file = -1

    def _write(self, data: bytes) -> None:
        """Write as much as the disk takes; the rest waits for the next time."""
        self._unwritten += data
        self._written += len(data)
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[os.write(self._file, self._unwritten) :]
        except OSError:
            if len(self._unwritten) > MAX_UNWRITTEN or self._closing.is_set():
                raise

    def _fail(self, error: Exception) -> None:
        self._failed = True
        if self._file >= 0:
            os.close(self._file)
        self.lost += len(self._waiting)
        self._waiting.clear()
        logger.error("%s: the recording ends: %s", self._path, error_reason(error))


def _set_aside_earlier(path: Path) -> None:
    """Rename both parts of an earlier run; raise OutputError if either is anything else than a recording."""
    older = older_part(path)
    try:
        for part in (path, older):
            if part.exists() and not _is_recording(part):
                raise OutputError(f"{part} is no recording, and is not overwritten; choose another file")
        name = set_aside(path)
        if name is not None and older.exists():
            older.rename(older_part(name))
        else:
            set_aside(older)
    except OSError as error:
        raise OutputError(write_error(path, error)) from error


def _is_recording(path: Path) -> bool:
    """Whether a file is empty or begins as a recording does; that of a full disk may end within its head."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        data = file.read(HEAD_BYTES)
    try:
        text = zlib.decompressobj(31).decompress(data, len(_BEGINNING)) if data else b""
    except zlib.error:
        return False
    return _BEGINNING.startswith(text)


def _stages_us(result: LiveResult) -> dict[str, int]:
    stages: dict[str, int] = {}
    for span in result.spans:
        stages[span.name] = stages.get(span.name, 0) + span.duration_ns // 1000
    return stages


def _side(box_xyxy: Any) -> int:
    """The longer side of a face box, in whole pixels."""
    return round(float(max(box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1])))
