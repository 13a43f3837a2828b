"""A recorded live run, read from the files of a `Recorder`; they may be truncated, and come from strangers."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from ....engines.errors import InputError, printable
from ....engines.json_input import parse_json
from ...media.reasons import error_reason
from ..monitoring.recorder import FORMAT, VERSION, older_part

CHUNK = 1 << 16
MAX_BYTES = 1 << 30
"""Decompressed size of a part; the rest is ignored."""
MAX_LINE = 1 << 20


@dataclass(frozen=True)
class RecordedFace:
    """A face of a result.

    Args:
        track: id in its camera.
        side: of the crop in pixels; of a skipped face, of its box.
        treatment: see `Treatment`, or "skipped".
        reason: for the treatment.
        detected: False if its position was predicted.
    """

    track: int
    side: int
    treatment: str
    reason: str
    detected: bool = True


@dataclass(frozen=True)
class RecordedResult:
    """A result; times in seconds since the beginning of the recording.

    Args:
        camera: its number.
        arrival_s, taken_s, done_s: see `FrameTimes`.
        camera_ms: see `FrameTimes`.
        size_wh: of the frame, pixels.
        dropped: frames since the last result that were not processed.
        damaged: see `Frame`.
        detection: "full" or "tracked"; "" if the positions are predicted.
        megapixels: of the detector's input.
        stages_ms: stage -> milliseconds.
        faces: upscaled and skipped.
    """

    camera: int
    arrival_s: float
    taken_s: float
    done_s: float
    camera_ms: float | None
    size_wh: tuple[int, int]
    dropped: int
    damaged: bool
    detection: str
    megapixels: float
    stages_ms: dict[str, float]
    faces: tuple[RecordedFace, ...]

    @property
    def age_ms(self) -> float:
        """From arrival to result."""
        return 1e3 * (self.done_s - self.arrival_s)

    @property
    def queue_ms(self) -> float:
        """Waiting for the scheduler."""
        return 1e3 * (self.taken_s - self.arrival_s)

    @property
    def compute_ms(self) -> float:
        """From the scheduler to the result."""
        return 1e3 * (self.done_s - self.taken_s)


@dataclass(frozen=True)
class RecordedStatus:
    """A camera's change of state, with its counters at that time."""

    camera: int
    at_s: float
    state: str
    error: str
    received: int
    dropped: dict[str, int]
    reconnects: int


@dataclass(frozen=True)
class RecordedCycle:
    """A turn of the scheduler, see `Cycle`; `budget_ms` is None if all its frames were from files, which wait."""

    cameras: tuple[int, ...]
    start_s: float
    end_s: float
    budget_ms: float | None
    stages_ms: dict[str, float]


@dataclass(frozen=True)
class RecordedCosts:
    """Estimates of the scheduler at a time, see `Live.costs_ms`."""

    at_s: float
    costs_ms: dict[str, float]


@dataclass(frozen=True)
class Recording:
    """A recorded run.

    Args:
        head: format, machine, start, and facts of the run under "about".
        cameras: number -> name.
        arrivals: number of the camera -> arrival of each of its frames in seconds, ascending, dropped ones included.
        results, statuses, cycles, costs: in the order of time.
        lost: events that the recorder could not write.
        notes: what could not be read, in one line each.
    """

    head: dict[str, Any]
    cameras: dict[int, str] = field(default_factory=dict)
    arrivals: dict[int, tuple[float, ...]] = field(default_factory=dict)
    results: tuple[RecordedResult, ...] = ()
    statuses: tuple[RecordedStatus, ...] = ()
    cycles: tuple[RecordedCycle, ...] = ()
    costs: tuple[RecordedCosts, ...] = ()
    lost: int = 0
    notes: tuple[str, ...] = ()

    @property
    def span_s(self) -> tuple[float, float]:
        """First and last event, seconds."""
        times = [time_s for arrivals in self.arrivals.values() for time_s in (arrivals[0], arrivals[-1])]
        times += [time_s for result in self.results for time_s in (result.arrival_s, result.done_s)]
        times += [status.at_s for status in self.statuses]
        return (min(times), max(times)) if times else (0.0, 0.0)


def read_recording(path: Path) -> Recording:
    """Read a recording, with its older part if that is of the same run.

    Raises:
        InputError: no such file, no recording, or one of a newer version.
    """
    newer, older = _Part(path), older_part(path)
    if not older.is_file():
        return newer.recording
    try:
        before = _Part(older)
    except InputError as error:
        return replace(newer.recording, notes=(*newer.recording.notes, str(error)))
    if before.recording.head["run"] != newer.recording.head["run"]:
        return newer.recording
    return _joined(before.recording, newer.recording)


def _joined(a: Recording, b: Recording) -> Recording:
    arrivals = {camera: a.arrivals.get(camera, ()) + b.arrivals.get(camera, ()) for camera in a.cameras | b.cameras}
    states = {(s.camera, s.at_s): s for s in a.statuses + b.statuses}  # the newer part begins with the last ones
    return Recording(
        b.head,
        a.cameras | b.cameras,
        {camera: times for camera, times in arrivals.items() if times},
        a.results + b.results,
        tuple(states.values()),
        a.cycles + b.cycles,
        a.costs + b.costs,
        max(a.lost, b.lost),
        a.notes + b.notes,
    )


class _Part:
    """Reads one file."""

    def __init__(self, path: Path) -> None:
        self._path, self._notes = path, list[str]()
        lines = self._lines()
        self._head = self._checked_head(next(lines, b""))
        self._events: dict[str, list[Any]] = {"result": [], "status": [], "cycle": [], "costs": []}
        self._cameras: dict[int, str] = {}
        self._arrivals: dict[int, list[float]] = {}
        self._lost = 0
        for number, line in enumerate(lines, 2):
            try:
                self._add(line)
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
                self._notes.append(f"{path}: line {number} is damaged; what follows was ignored")
                break
        events, arrivals = self._events, {camera: tuple(sorted(times)) for camera, times in self._arrivals.items()}
        self.recording = Recording(
            self._head,
            self._cameras,
            arrivals,
            tuple(events["result"]),
            tuple(events["status"]),
            tuple(events["cycle"]),
            tuple(events["costs"]),
            self._lost,
            tuple(self._notes),
        )

    def _checked_head(self, line: bytes) -> dict[str, Any]:
        try:
            head: dict[str, Any] = parse_json(line)
            version, known = head["version"], head["format"] == FORMAT and isinstance(head["about"], dict)
            known = known and isinstance(head["machine"], dict) and isinstance(head["run"], str)
            known = known and isinstance(head["started_unix_s"], int | float)
        except (ValueError, KeyError, TypeError):
            known = False
        if not known:
            raise InputError(f"{self._path} is no recording; expected a file of facesr-edge live --record")
        if version != VERSION:
            raise InputError(f"{self._path} has format {version!s:.20}, expected {VERSION}; update facesr-edge")
        return head

    def _lines(self) -> Iterator[bytes]:
        """The lines of the file up to its end, or to the first byte that cannot be read."""
        rest, size, unzip = b"", 0, zlib.decompressobj(31)
        try:
            with self._path.open("rb") as file:
                while size < MAX_BYTES and not unzip.eof:
                    data = unzip.unconsumed_tail or file.read(CHUNK)
                    if not data:
                        break  # a killed process: whole up to the last write
                    text = unzip.decompress(data, CHUNK)
                    size += len(text)
                    *lines, rest = (rest + text).split(b"\n")
                    yield from lines
                    if len(rest) > MAX_LINE:
                        raise zlib.error("a line is too long")
        except OSError as error:
            raise InputError(f"cannot read {self._path}: {error_reason(error)}") from error
        except zlib.error:
            self._notes.append(f"{self._path}: damaged after {size} bytes; what follows was ignored")
        if size >= MAX_BYTES:
            self._notes.append(f"{self._path}: more than {MAX_BYTES} bytes; what follows was ignored")

    def _add(self, line: bytes) -> None:
        record = json.loads(line)
        if "arrival" in record:
            self._arrivals.setdefault(int(record["arrival"]), []).append(_seconds(record["at_us"]))
        elif "result" in record:
            self._events["result"].append(_result(record))
        elif "cycle" in record:
            self._events["cycle"].append(_cycle(record))
        elif "status" in record:
            self._events["status"].append(_status(record))
        elif "camera" in record:
            self._cameras[int(record["camera"])] = _text(record["name"])
        elif "costs_ms" in record:
            self._events["costs"].append(RecordedCosts(_seconds(record["at_us"]), _figures(record["costs_ms"])))
        elif "lost" in record:
            self._lost = int(record["lost"])
        elif "about" in record:
            self._head["about"].update(parse_json(line)["about"])


@lru_cache(maxsize=4096)
def _text(text: str) -> str:
    return printable(text)


def _result(record: dict[str, Any]) -> RecordedResult:
    detection = record["detection"]
    faces = [
        RecordedFace(int(track), int(side), _text(treatment), _text(reason), bool(detected))
        for track, side, treatment, reason, detected in record["faces"]
    ]
    faces += [RecordedFace(int(t), int(side), "skipped", _text(reason)) for t, side, reason in record["skipped"]]
    width, height = record["size_wh"]
    return RecordedResult(
        camera=int(record["result"]),
        arrival_s=_seconds(record["at_us"]),
        taken_s=_seconds(record["taken_us"]),
        done_s=_seconds(record["done_us"]),
        camera_ms=None if record["camera_ms"] is None else _number(record["camera_ms"]),
        size_wh=(int(width), int(height)),
        dropped=int(record["dropped"]),
        damaged=bool(record["damaged"]),
        detection=_text(detection[0]) if detection else "",
        megapixels=_number(detection[1]) if detection else 0.0,
        stages_ms=_stages_ms(record),
        faces=tuple(faces),
    )


def _cycle(record: dict[str, Any]) -> RecordedCycle:
    cameras = tuple(int(camera) for camera in record["cycle"])
    start_s, end_s = _seconds(record["start_us"]), _seconds(record["end_us"])
    budget_ms = None if record["budget_ms"] is None else _number(record["budget_ms"])
    return RecordedCycle(cameras, start_s, end_s, budget_ms, _stages_ms(record))


def _status(record: dict[str, Any]) -> RecordedStatus:
    return RecordedStatus(
        camera=int(record["status"]),
        at_s=_seconds(record["at_us"]),
        state=_text(record["state"]),
        error=_text(record["error"]),
        received=int(record["received"]),
        dropped={_text(cause): int(count) for cause, count in record["dropped"].items()},
        reconnects=int(record["reconnects"]),
    )


def _stages_ms(record: dict[str, Any]) -> dict[str, float]:
    return {_text(name): _number(us) / 1e3 for name, us in islice(record["stages_us"].items(), 100)}


def _figures(values: dict[str, Any]) -> dict[str, float]:
    return {_text(name): _number(value) for name, value in islice(values.items(), 1000)}


def _seconds(microseconds: Any) -> float:
    return _number(microseconds) / 1e6


def _number(value: Any) -> float:
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return float(value)
