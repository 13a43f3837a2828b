"""One frame's timings, and percentiles over many."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from .timings import Span, milliseconds

STAGES = (
    *("decode", "detect", "detect.network", "crop", "super_resolve", "super_resolve.network"),
    *("paste", "paste.enlarge", "encode", "total"),
)
"""Rows of a profile, in the order of a frame."""
NOT_OURS = ("decode", "detect.network", "super_resolve.network", "paste.enlarge", "encode")
"""What any program would have to do: networks, codecs, and the enlargement of the background."""

PIECES = {
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
        return {**dict.fromkeys(STAGES, 0.0), **milliseconds(self.spans)}

    @property
    def pieces_ms(self) -> dict[str, float]:
        """Each of `PIECES` -> ms; together they are the total."""
        ms = {**self.milliseconds, "": 0.0}
        return {name: max(0.0, ms[of] - ms[less]) for name, (of, less) in PIECES.items()}

    @property
    def own_work_ms(self) -> float:
        """Total less `NOT_OURS`."""
        ms = self.milliseconds
        return ms["total"] - sum(ms[name] for name in NOT_OURS)


def latency(values_ms: list[float]) -> Latency:
    """Percentiles, linearly interpolated, and mean."""
    p50, p90, p99 = (float(p) for p in np.percentile(values_ms, (50, 90, 99)))
    return Latency(p50, p90, p99, float(np.mean(values_ms)))
