"""What each stage of a frame cost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np

STAGES = ("decode", "detect", "crop", "super_resolve", "paste", "encode")
"""The stages of a frame, in their order. A stage's parts are named after it: "detect.network", "super_resolve.network",
"paste.enlarge"."""


@dataclass(frozen=True)
class Span:
    """One stretch of time.

    Args:
        name: stage, or "stage.part".
        start_ns: on the clock of `time.perf_counter_ns`.
        duration_ns: how long it took.
    """

    name: str
    start_ns: int
    duration_ns: int


class Stopwatch:
    """Collects the spans of one frame.

    Args:
        spans: what was timed before.
    """

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self.spans = list(spans)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside the ``with``, also when it raises."""
        start = time.perf_counter_ns()
        try:
            yield
        finally:
            self.spans.append(Span(name, start, time.perf_counter_ns() - start))


def milliseconds(spans: list[Span] | tuple[Span, ...]) -> dict[str, float]:
    """Sum the spans by name, in ms: stages in the order of `STAGES`, each followed by its parts, then "total"."""
    sums: dict[str, float] = {}
    for span in spans:
        sums[span.name] = sums.get(span.name, 0.0) + span.duration_ns / 1e6
    order = {stage: i for i, stage in enumerate(STAGES)}
    ordered = dict(sorted(sums.items(), key=lambda item: (order.get(item[0].split(".")[0], len(order)), item[0])))
    return {**ordered, "total": sum(ms for name, ms in sums.items() if "." not in name)}


PROFILE_ROWS = (
    *("decode", "detect", "detect.network", "crop", "super_resolve", "super_resolve.network"),
    *("paste", "paste.enlarge", "encode", "total"),
)
"""Rows of a profile, in the order of a frame."""
NOT_OVERHEAD = ("decode", "detect.network", "super_resolve.network", "paste.enlarge", "encode")
"""What any program would have to do: networks, codecs, and the enlargement of the background."""

BREAKDOWN = {
    "decode": ("decode", ""),
    "detect: network": ("detect.network", ""),
    "detect: rest": ("detect", "detect.network"),
    "crop": ("crop", ""),
    "super-resolve: network": ("super_resolve.network", ""),
    "super-resolve: rest": ("super_resolve", "super_resolve.network"),
    "paste: enlarge": ("paste.enlarge", ""),
    "paste: faces": ("paste", "paste.enlarge"),
    "encode": ("encode", ""),
}
"""What a frame's total consists of, without overlap: name -> the stage or part, and the part that is not counted in."""


@dataclass(frozen=True)
class Latency:
    """Percentiles over the frames, in ms."""

    p50: float
    p90: float
    p99: float
    mean: float

    def to_dict(self) -> dict[str, float]:
        """Ready for JSON, rounded to the microsecond."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class FrameTiming:
    """One frame of a profile.

    Args:
        index: of the frame in its source; a picture that is read again and again counts on.
        faces: how many were super-resolved.
        spans: what took how long.
    """

    index: int
    faces: int
    spans: tuple[Span, ...]

    @property
    def milliseconds(self) -> dict[str, float]:
        """Stage, part, or "total" -> ms; 0 for what did not happen."""
        return {**dict.fromkeys(PROFILE_ROWS, 0.0), **milliseconds(self.spans)}

    @property
    def breakdown_ms(self) -> dict[str, float]:
        """Each of `BREAKDOWN` -> ms; together they are the total."""
        ms = {**self.milliseconds, "": 0.0}
        return {name: max(0.0, ms[of] - ms[less]) for name, (of, less) in BREAKDOWN.items()}

    @property
    def overhead_ms(self) -> float:
        """Total less `NOT_OVERHEAD`."""
        ms = self.milliseconds
        return ms["total"] - sum(ms[name] for name in NOT_OVERHEAD)


def latency(values_ms: list[float]) -> Latency:
    """Percentiles, linearly interpolated, and mean."""
    p50, p90, p99 = (float(p) for p in np.percentile(values_ms, (50, 90, 99)))
    return Latency(p50, p90, p99, float(np.mean(values_ms)))
