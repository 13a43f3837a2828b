"""Profile as a Chrome trace for Perfetto (ui.perfetto.dev) or chrome://tracing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .json_writer import write_text
from .profile import Profile
from .timing import FrameTiming

PROCESS, THREAD = 1, 1


def trace_from_profile(profile: Profile) -> dict[str, Any]:
    """Convert a profile to nested slices (frame, stage, part) and a counter of faces.

    Returns:
        Document of the Chrome trace event format; times in us relative to the first span.
    """
    events: list[dict[str, Any]] = [
        _metadata_event("process_name", f"facesr-edge: {profile.model} on {profile.source}"),
        _metadata_event("thread_name", "frames, stages, parts"),
    ]
    origin = min((span.start_ns for timing in profile.timeline for span in timing.spans), default=0)
    for timing in profile.timeline:
        events += _events(timing, origin)
    metadata = {"machine": str(profile.machine), **profile.runtimes, **profile.versions}
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": metadata}


def write_trace(profile: Profile, path: Path) -> None:
    """Write the trace as JSON.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, json.dumps(trace_from_profile(profile)))


def _metadata_event(kind: str, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": PROCESS, "tid": THREAD, "args": {"name": name}}


def _events(timing: FrameTiming, origin: int) -> list[dict[str, Any]]:
    start = min(span.start_ns for span in timing.spans)
    end = max(span.start_ns + span.duration_ns for span in timing.spans)
    frame_args = {"index": timing.index, "faces": timing.faces}
    # Viewers nest slices by time; slices with the same start in file order, so the longer one must come first.
    spans = sorted(timing.spans, key=lambda span: (span.start_ns, -span.duration_ns))
    return [
        _slice(f"frame {timing.index}", "frame", start - origin, end - start, frame_args),
        *(_slice(s.name, "part" if "." in s.name else "stage", s.start_ns - origin, s.duration_ns, {}) for s in spans),
        {"ph": "C", "name": "faces", "pid": PROCESS, "ts": (start - origin) / 1e3, "args": {"faces": timing.faces}},
    ]


def _slice(name: str, category: str, start_ns: int, duration_ns: int, args: dict[str, Any]) -> dict[str, Any]:
    times = {"ts": start_ns / 1e3, "dur": duration_ns / 1e3}
    return {"ph": "X", "name": name, "cat": category, "pid": PROCESS, "tid": THREAD, **times, "args": args}
