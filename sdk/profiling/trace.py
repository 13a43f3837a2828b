"""Spans of the frames as a trace that Perfetto (ui.perfetto.dev) and Chrome (chrome://tracing) open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...engines.errors import OutputError
from .profile import Profile
from .timing import FrameTiming

PROCESS, THREAD = 1, 1


def trace_from_profile(profile: Profile) -> dict[str, Any]:
    """Make the trace: a slice a frame, in it one a stage, in these one a part; and the number of faces as a counter.

    Args:
        profile: as measured.

    Returns:
        The document; times in microseconds from the first span on.
    """
    events: list[dict[str, Any]] = [
        _name("process_name", f"facesr-edge: {profile.model} on {profile.source}"),
        _name("thread_name", "frames, stages, parts"),
    ]
    origin = min((span.start_ns for timing in profile.timeline for span in timing.spans), default=0)
    for timing in profile.timeline:
        events += _events(timing, origin)
    about = {"machine": str(profile.machine), **profile.runtimes, **profile.versions}
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": about}


def write_trace(profile: Profile, path: Path) -> None:
    """Write the trace.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        path.write_text(json.dumps(trace_from_profile(profile)), "utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another file") from None


def _name(kind: str, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": PROCESS, "tid": THREAD, "args": {"name": name}}


def _events(timing: FrameTiming, origin: int) -> list[dict[str, Any]]:
    start = min(span.start_ns for span in timing.spans)
    end = max(span.start_ns + span.duration_ns for span in timing.spans)
    faces = {"index": timing.index, "faces": timing.faces}
    # A viewer nests slices by time alone, and those that begin together in the order of the file: the longer first.
    spans = sorted(timing.spans, key=lambda span: (span.start_ns, -span.duration_ns))
    return [
        _slice(f"frame {timing.index}", "frame", start - origin, end - start, faces),
        *(_slice(s.name, _kind(s.name), s.start_ns - origin, s.duration_ns, {}) for s in spans),
        {"ph": "C", "name": "faces", "pid": PROCESS, "ts": (start - origin) / 1e3, "args": {"faces": timing.faces}},
    ]


def _kind(name: str) -> str:
    return "part" if "." in name else "stage"


def _slice(name: str, kind: str, start_ns: int, duration_ns: int, args: dict[str, Any]) -> dict[str, Any]:
    times = {"ts": start_ns / 1e3, "dur": duration_ns / 1e3}
    return {"ph": "X", "name": name, "cat": kind, "pid": PROCESS, "tid": THREAD, **times, "args": args}
