"""What a live run does now: a table for a terminal, a line for a log."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ....engines.errors import printable
from ...live.camera import CameraStatus
from ...live.monitoring.monitor import CameraFigures, Figures
from ...live.results import Treatment
from ...live.service.service import Service

TREATMENTS = (*get_args(Treatment), "skipped")
RATE_S = 5.0
"""Time over which faces/s are counted."""
_CAPTION = "faces/s by treatment; age of results: 99th percentile of a minute"
_COLOURS = {"live": "green", "connecting": "yellow", "frozen": "red", "offline": "red", "ended": "dim"}


@dataclass(frozen=True)
class CameraLine:
    """One camera now.

    Args:
        status: of the camera.
        p99_ms: age of its results in the last minute, 99th percentile; None without a result.
        faces_per_s: of each of `TREATMENTS`.
    """

    status: CameraStatus
    p99_ms: float | None
    faces_per_s: dict[str, float]


class StatusLines:
    """Status of each camera, with rates over the last seconds.

    Args:
        service: that runs.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._earlier: deque[tuple[float, dict[str, Counter[str]]]] = deque()

    def now(self) -> list[CameraLine]:
        """Lines in the order of the cameras."""
        figures = self._service.monitor.figures()
        counts = {name: treatments(figures.cameras[name]) for name in figures.cameras}
        while len(self._earlier) > 1 and figures.time_s - self._earlier[0][0] > RATE_S:
            self._earlier.popleft()
        since_s, before = self._earlier[0] if self._earlier else (figures.time_s, counts)
        self._earlier.append((figures.time_s, counts))
        duration_s = max(figures.time_s - since_s, 1e-3)
        return [
            CameraLine(status, _p99_ms(figures, status.name), _rates(counts, before, status.name, duration_s))
            for status in self._service.statuses()
        ]


def treatments(figures: CameraFigures) -> Counter[str]:
    """Faces of a camera by treatment."""
    counts: Counter[str] = Counter()
    for (treatment, _), count in figures.faces.items():
        counts[treatment] += count
    return counts


def _p99_ms(figures: Figures, camera: str) -> float | None:
    if camera not in figures.cameras:
        return None
    (p99_s,) = figures.cameras[camera].age.percentiles(99)
    return None if p99_s is None else 1e3 * p99_s


def _rates(
    counts: dict[str, Counter[str]], before: dict[str, Counter[str]], camera: str, duration_s: float
) -> dict[str, float]:
    new, old = counts.get(camera, Counter()), before.get(camera, Counter())
    return {name: (new[name] - old[name]) / duration_s for name in TREATMENTS}


def table(lines: Sequence[CameraLine]) -> RenderableType:
    """Table of all cameras, and the errors of those that have one; fits 80 columns."""
    result = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, caption=_CAPTION, caption_justify="left")
    result.add_column("camera", overflow="ellipsis", max_width=40)
    result.add_column("state", no_wrap=True)
    for name in ("fps", "age", *(name.partition(" ")[0] for name in TREATMENTS), "drops"):
        result.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    for line in lines:
        status = line.status
        state = Text(status.state, style=_COLOURS[status.state])
        rates = [f"{line.faces_per_s[name]:.1f}" if line.faces_per_s[name] else "" for name in TREATMENTS]
        dropped = str(sum(status.dropped.values()))
        result.add_row(Text(printable(status.name)), state, _number(status.fps), _ms(line.p99_ms), *rates, dropped)
    errors = (printable(f"{line.status.name}: {line.status.error}") for line in lines if line.status.error)
    return Group(result, *(Text(error, style="red") for error in errors))


def summary_line(lines: Sequence[CameraLine]) -> str:
    """All cameras in one line."""
    states = Counter(line.status.state for line in lines)
    faces = sum(sum(line.faces_per_s.values()) for line in lines)
    oldest_ms = max((line.p99_ms for line in lines if line.p99_ms is not None), default=None)
    age = f", age p99 {_ms(oldest_ms)}" if oldest_ms is not None else ""
    dropped = sum(sum(line.status.dropped.values()) for line in lines)
    others = "".join(f", {count} {state}" for state, count in sorted(states.items()) if state != "live")
    return f"{states['live']} of {len(lines)} cameras live{others}, {faces:.1f} faces/s{age}, {dropped} frames dropped"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} ms"
