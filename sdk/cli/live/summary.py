"""What a live run has done, at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from ...live.camera import CameraStatus
from ...live.monitoring.monitor import CameraFigures
from ...live.service.service import Service
from ...media.reasons import plural
from .status import TREATMENTS, treatments


class Summary:
    """Accounts of a run that has ended.

    Args:
        service: that ran.
        statuses: of its cameras at the end.
        duration_s: of the run, in seconds.
    """

    def __init__(self, service: Service, statuses: Sequence[CameraStatus], duration_s: float) -> None:
        self._duration_s, self._statuses = duration_s, statuses
        self._figures = service.monitor.figures().cameras
        self._sinks = [sink.statistics() for sink in service.sinks]
        self._lost_records = service.recorder.lost if service.recorder else 0

    @property
    def line(self) -> str:
        """All in one line."""
        results = sum(figures.results for figures in self._figures.values())
        faces = sum((treatments(figures) for figures in self._figures.values()), Counter[str]())
        kinds = ", ".join(f"{faces[name]} {name}" for name in TREATMENTS if faces[name])
        dropped = sum(sum(status.dropped.values()) for status in self._statuses)
        rate = f" ({results / self._duration_s:.1f} frames/s)" if self._duration_s > 0 else ""
        parts = [
            f"{plural(len(self._statuses), 'camera')}, {plural(results, 'frame')}",
            plural(faces.total(), "face") + (f" ({kinds})" if kinds else ""),
            f"{self._duration_s:.1f} s{rate}",
            *([f"{plural(dropped, 'frame')} dropped"] if dropped else []),
        ]
        return ", ".join(parts)

    @property
    def notes(self) -> Iterator[str]:
        """Each failure or loss in a line."""
        for status in self._statuses:
            if status.error:
                yield f"{status.name}: {status.error}"
        for sink in self._sinks:
            counts = {"failed": sink.failed, "dropped": sink.dropped, "not written": sink.queued}
            lost = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
            if lost:
                yield f"{sink.name}: {sink.written} written, {lost}{f': {sink.error}' if sink.error else ''}"
        if self._lost_records:
            yield f"{plural(self._lost_records, 'event')} are not in the recording"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "duration_s": round(self._duration_s, 3),
            "cameras": [self._camera(status) for status in self._statuses],
            "outputs": [asdict(sink) for sink in self._sinks],
            "lost_records": self._lost_records,
        }

    def _camera(self, status: CameraStatus) -> dict[str, Any]:
        figures = self._figures.get(status.name)
        own: dict[str, Any] = {"results": 0, "faces": {}, "age_ms": None}
        if figures:
            own = {"results": figures.results, "faces": dict(treatments(figures)), "age_ms": _age_ms(figures)}
        return {**asdict(status), **own}


def _age_ms(figures: CameraFigures) -> dict[str, float] | None:
    """Percentiles of the last minute."""
    p50_s, p99_s = figures.age.percentiles(50, 99)
    return None if p50_s is None or p99_s is None else {"p50": round(1e3 * p50_s, 1), "p99": round(1e3 * p99_s, 1)}
