"""Metrics of the face service for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from ...live.tracks.usability import UsabilityVerdict

PREFIX = "facesr_edge_service_"
BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts requests and faces. Labels are statuses, stages and verdicts: their number does not grow with clients.

    Args:
        requests: number of requests that are in.
        busy: number of workers that work.
        workers: number of workers.
    """

    def __init__(self, requests: Callable[[], float], busy: Callable[[], float], workers: int) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._responses = Counter(
            f"{PREFIX}responses", "Responses by status; 499: the client left.", ("status",), registry=self._registry
        )
        self._seconds = Histogram(
            f"{PREFIX}request_seconds",
            "From the head of a request to its answer, of those that got faces.",
            buckets=BOUNDS_S,
            registry=self._registry,
        )
        self._stages = Histogram(
            f"{PREFIX}stage_seconds", "Time of a stage.", ("stage",), buckets=BOUNDS_S, registry=self._registry
        )
        self._faces = Counter(f"{PREFIX}faces", "Upscaled faces by usability.", ("verdict",), registry=self._registry)
        for verdict in get_args(UsabilityVerdict):
            self._faces.labels(verdict)
        gauges: list[tuple[str, str, Callable[[], float]]] = [
            ("requests", "Requests that are in.", requests),
            ("busy_workers", "Workers that work.", busy),
            ("workers", "Workers.", lambda: workers),
        ]
        for name, text, value in gauges:
            Gauge(f"{PREFIX}{name}", text, registry=self._registry).set_function(value)

    def responded(self, status: int) -> None:
        """A request got a response."""
        self._responses.labels(str(status)).inc()

    def done(self, seconds: float, stages_s: Mapping[str, float], verdicts: Iterable[str]) -> None:
        """A request got its faces."""
        self._seconds.observe(seconds)
        for name, stage_s in stages_s.items():
            self._stages.labels(name).observe(stage_s)
        for verdict in verdicts:
            self._faces.labels(verdict).inc()

    def page(self, accept: str) -> tuple[bytes, str]:
        """The metrics as text, and its media type, in the format that a client accepts."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type
