"""What the page tells about a run, as JSON."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...pipeline.results import number
from ..monitoring.health import health
from ..monitoring.latency import Latency

if TYPE_CHECKING:
    from ..camera import CameraStatus
    from ..monitoring.health import CameraHealth
    from ..monitoring.monitor import CameraFigures
    from ..monitoring.observed import ObservedRun
    from .pictures import Shown

REFRESH_S = 0.5
"""Time after which the figures are computed anew; their percentiles are not for free."""


class State:
    """Figures of a run, computed at most twice a second for all viewers.

    Args:
        run: to be shown.
        clock: seconds, like `time.monotonic`.
    """

    def __init__(self, run: ObservedRun, clock: Callable[[], float] = time.monotonic) -> None:
        self._run, self._clock = run, clock
        self._last: tuple[float, dict[str, Any]] = (float("-inf"), {})

    def to_dict(self) -> dict[str, Any]:
        """Figures of the run and of each camera, in the order of the run."""
        now_s = self._clock()
        if now_s - self._last[0] >= REFRESH_S:
            self._last = (now_s, figures(self._run))
        return self._last[1]


def figures(run: ObservedRun) -> dict[str, Any]:
    """Figures of the run and of each camera."""
    accounts, statuses = run.monitor.figures(), run.statuses()
    verdict = health(run)
    cameras = [
        _camera(status, own, accounts.cameras.get(status.name))
        for status, own in zip(statuses, verdict.cameras, strict=True)
    ]
    return {
        "model": run.live.card.name,
        "healthy": verdict.healthy,
        "scheduler": verdict.scheduler,
        "budget_ms": run.live.budget_ms,
        "cycle_budget_ms": None if accounts.budget_s is None else number(1e3 * accounts.budget_s, 1),  # inf of files
        "cycle_ms": _percentiles_ms([accounts.cycles]),
        "age_ms": _percentiles_ms(camera.age for camera in accounts.cameras.values()),
        "cameras": cameras,
        "sinks": [asdict(sink.statistics()) for sink in run.sinks],
    }


def _camera(status: CameraStatus, verdict: CameraHealth, own: CameraFigures | None) -> dict[str, Any]:
    known = {
        "name": status.name,
        "state": status.state,
        "healthy": verdict.healthy,
        "why": verdict.why,
        "size_wh": status.size_wh,
        "fps": None if status.fps is None else number(status.fps, 1),
        "newest_age_s": verdict.newest_age_s,
        "received": status.received,
        "dropped": status.dropped,
        "damaged_packets": status.damaged_packets,
        "reconnects": status.reconnects,
    }
    if own is None:
        return {**known, "results": 0, "latencies_ms": {}, "faces": [], "stages_ms": {}}
    latencies = {name: getattr(own, name) for name in ("age", "queue", "compute", "camera_clock")}
    return {
        **known,
        "results": own.results,
        "latencies_ms": {name: _percentiles_ms([latency]) for name, latency in latencies.items()},
        "faces": [[*kind, count] for kind, count in Counter(own.faces).most_common()],
        "stages_ms": {name: _percentiles_ms([latency]) for name, latency in own.stages.items()},
    }


def frame(shown: Shown) -> dict[str, Any]:
    """The result that is shown: its size and faces."""
    result = shown.result
    height, width = result.source.pixels.shape[:2]
    return {"number": shown.number, "size_wh": [width, height], **result.to_dict()}


def _percentiles_ms(latencies: Iterable[Latency]) -> list[float | None]:
    """Median and 99th percentile of the last minute."""
    together = Latency((), 0.0, tuple(value for latency in latencies for value in latency.recent_s))
    return [None if seconds is None else number(1e3 * seconds, 1) for seconds in together.percentiles(50, 99)]
