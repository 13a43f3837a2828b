"""What happened in a recorded run: rates, losses, times, treatments and states of each camera."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ....calibration.timing import LatencyStats, latency_stats
from ...pipeline.results import number
from .recording import RecordedResult, Recording

OVER_BUDGET = "over budget"
"""Beginning of the reason of a face that did not get what it needed in time."""
_FIGURE = re.compile(r"-?\d+(?:\.\d+)?(?: ?%)?")


@dataclass(frozen=True)
class StateChange:
    """When a camera changed its state, seconds since the beginning of the recording, and why."""

    at_s: float
    state: str
    error: str


@dataclass(frozen=True)
class CameraSummary:
    """What happened to the frames of a camera.

    Args:
        name: of the camera.
        arrivals, results: number of frames.
        arrival_fps, result_fps: per second of the recording.
        dropped: cause -> frames.
        age, queue, compute: ms, see `FrameTimes`; None without a result.
        camera_ms: the same from the camera's clock; None if it does not tell.
        treatments: faces by treatment, skipped ones included.
        over_budget: faces that did not get what they needed in time.
        states: in the order of time.
    """

    name: str
    arrivals: int
    results: int
    arrival_fps: float
    result_fps: float
    dropped: dict[str, int]
    age: LatencyStats | None
    queue: LatencyStats | None
    compute: LatencyStats | None
    camera_ms: LatencyStats | None
    treatments: dict[str, int]
    over_budget: int
    states: tuple[StateChange, ...]

    @property
    def faces(self) -> int:
        """Number of faces in all results."""
        return sum(self.treatments.values())

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        times = {"age": self.age, "queue": self.queue, "compute": self.compute, "camera": self.camera_ms}
        return {
            "name": self.name,
            "arrivals": self.arrivals,
            "results": self.results,
            "arrival_fps": round(self.arrival_fps, 3),
            "result_fps": round(self.result_fps, 3),
            "dropped": self.dropped,
            **{f"{name}_ms": stats and stats.to_dict() for name, stats in times.items()},
            "faces": self.treatments,
            "over_budget": self.over_budget,
            "states": [
                {"at_s": round(change.at_s, 3), "state": change.state, "error": change.error} for change in self.states
            ],
        }


@dataclass(frozen=True)
class Summary:
    """What happened in a recorded run.

    Args:
        head: of the recording.
        duration_s: from the first to the last event.
        cameras: in the order in which they were met.
        total: of all cameras together, without states.
        reasons: reason without its figures -> faces, most frequent first.
        stages: stage -> ms of a result.
        turns: number of turns of the scheduler.
        lost: events that the recorder could not write.
        notes: what could not be read.
    """

    head: dict[str, Any]
    duration_s: float
    cameras: tuple[CameraSummary, ...]
    total: CameraSummary
    reasons: dict[str, int]
    stages: dict[str, LatencyStats]
    turns: int
    lost: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "machine": self.head["machine"],
            "about": self.head["about"],
            "started_unix_s": number(self.head["started_unix_s"], 3),
            "duration_s": round(self.duration_s, 3),
            "turns": self.turns,
            "lost": self.lost,
            "notes": list(self.notes),
            "total": self.total.to_dict(),
            "reasons": self.reasons,
            "stages_ms": {name: stats.to_dict() for name, stats in self.stages.items()},
            "cameras": [camera.to_dict() for camera in self.cameras],
        }


def summarize(recording: Recording) -> Summary:
    """Summarize a recording."""
    start_s, end_s = recording.span_s
    numbers = sorted(recording.cameras)
    cameras = tuple(_camera(recording, (camera,), recording.cameras[camera]) for camera in numbers)
    reasons = Counter(_FIGURE.sub("…", face.reason) for result in recording.results for face in result.faces)
    stages: dict[str, list[float]] = {}
    for result in recording.results:
        for name, ms in result.stages_ms.items():
            stages.setdefault(name, []).append(ms)
    return Summary(
        recording.head,
        end_s - start_s,
        cameras,
        _camera(recording, numbers, "all cameras"),
        dict(reasons.most_common()),
        {name: latency_stats(values) for name, values in stages.items()},
        len(recording.cycles),
        recording.lost,
        recording.notes,
    )


def _camera(recording: Recording, cameras: Sequence[int], name: str) -> CameraSummary:
    results = [result for result in recording.results if result.camera in cameras]
    arrivals = sum(len(recording.arrivals.get(camera, ())) for camera in cameras)
    start_s, end_s = recording.span_s
    duration_s = max(end_s - start_s, 1e-9)
    faces = [face for result in results for face in result.faces]
    states = [status for status in recording.statuses if len(cameras) == 1 and status.camera in cameras]
    return CameraSummary(
        name,
        arrivals,
        len(results),
        arrivals / duration_s,
        len(results) / duration_s,
        _dropped(recording, cameras, results),
        _stats(result.age_ms for result in results),
        _stats(result.queue_ms for result in results),
        _stats(result.compute_ms for result in results),
        _stats(result.camera_ms for result in results if result.camera_ms is not None),
        dict(Counter(face.treatment for face in faces).most_common()),
        sum(face.reason.startswith(OVER_BUDGET) for face in faces),
        tuple(StateChange(status.at_s, status.state, status.error) for status in states),
    )


def _dropped(recording: Recording, cameras: Sequence[int], results: Sequence[RecordedResult]) -> dict[str, int]:
    """Frames by cause, as far as the states tell; the results tell of all of them."""
    causes: Counter[str] = Counter()
    for camera in cameras:
        counts = [status.dropped for status in recording.statuses if status.camera == camera]
        causes.update(counts[-1] if counts else {})
    later = sum(result.dropped for result in results) - causes.total()
    return dict(causes) if later <= 0 else {**causes, "consumer": causes["consumer"] + later}


def _stats(samples: Iterable[float]) -> LatencyStats | None:
    values = list(samples)
    return latency_stats(values) if values else None
