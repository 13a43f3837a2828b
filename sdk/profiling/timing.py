"""Per-stage timing of a frame."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

WAIT = "wait"
"""Time in which a live source had no frame yet: it is the camera's, and not in the total."""
STAGES = (WAIT, "decode", "detect", "crop", "register", "upscale", "paste", "uncertainty", "encode")
"""Stages of a frame in execution order. Parts of a stage are named "stage.part": "detect.network", "paste.enlarge"."""


@dataclass(frozen=True)
class Span:
    """Time interval of a stage."""

    name: str  # stage or "stage.part"
    start_ns: int  # on the clock of `time.perf_counter_ns`
    duration_ns: int


class Stopwatch:
    """Collects the spans of one frame, after those measured before."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self.spans = list(spans)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the ``with`` block, also if it raises."""
        start = time.perf_counter_ns()
        try:
            yield
        finally:
            self.spans.append(Span(name, start, time.perf_counter_ns() - start))


def milliseconds(spans: list[Span] | tuple[Span, ...]) -> dict[str, float]:
    """Sum of the spans by name in ms: stages in the order of `STAGES`, each followed by its parts, then "total".

    The total is the work for the frame: all stages but `WAIT`.
    """
    sums: dict[str, float] = {}
    for span in spans:
        sums[span.name] = sums.get(span.name, 0.0) + span.duration_ns / 1e6
    order = {stage: i for i, stage in enumerate(STAGES)}
    ordered = dict(sorted(sums.items(), key=lambda item: (order.get(item[0].split(".")[0], len(order)), item[0])))
    return {**ordered, "total": sum(ms for name, ms in sums.items() if "." not in name and name != WAIT)}


REGISTER = "register"
"""Stage that only faces of several frames need: their tracks, and the registration and samples of their crops."""
PROFILE_ROWS = (
    *("decode", "detect", "detect.network", "crop", REGISTER, "upscale", "upscale.network"),
    *("paste", "paste.enlarge", "encode", "total"),
)
"""Rows of a profile in execution order."""
NOT_OVERHEAD = ("decode", "detect.network", REGISTER, "upscale.network", "paste.enlarge", "encode")
"""Stages that any implementation needs: networks, registration, decoding, encoding and background resizing."""

BREAKDOWN = {
    "decode": ("decode", ""),
    "detect: network": ("detect.network", ""),
    "detect: rest": ("detect", "detect.network"),
    "crop": ("crop", ""),
    REGISTER: (REGISTER, ""),
    "upscale: network": ("upscale.network", ""),
    "upscale: rest": ("upscale", "upscale.network"),
    "paste: enlarge": ("paste.enlarge", ""),
    "paste: faces": ("paste", "paste.enlarge"),
    "encode": ("encode", ""),
}
"""Disjoint components of the total: name -> (stage or part, part to subtract)."""


@dataclass(frozen=True)
class FrameTiming:
    """Timing of one profiled frame."""

    index: int  # among the measured frames, from 0
    faces: int  # number of upscaled faces
    spans: tuple[Span, ...]

    @property
    def milliseconds(self) -> dict[str, float]:
        """Stage, part or "total" -> ms; 0 for stages that did not run."""
        return {**dict.fromkeys(PROFILE_ROWS, 0.0), **milliseconds(self.spans)}

    @property
    def breakdown_ms(self) -> dict[str, float]:
        """Component of `BREAKDOWN` -> ms; they add up to the total."""
        ms = {**self.milliseconds, "": 0.0}
        return {name: max(0.0, ms[stage] - ms[part]) for name, (stage, part) in BREAKDOWN.items()}

    @property
    def overhead_ms(self) -> float:
        """Total minus the stages in `NOT_OVERHEAD`."""
        ms = self.milliseconds
        return ms["total"] - sum(ms[name] for name in NOT_OVERHEAD)
