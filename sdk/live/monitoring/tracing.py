"""Traces of a live run for OpenTelemetry: a span for each frame and its stages, and for each turn of the scheduler."""

from __future__ import annotations

import random
import time
from collections import Counter
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .... import __version__
from ....engines.errors import MissingDependencyError, UsageError
from ..observer import Cycle, Observer

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link, Span
    from opentelemetry.util.types import Attributes

    from ..results import LiveResult

DEFAULT_SHARE = 0.05
CLOSE_S = 0.8
"""Maximum wait for the collector when the run ends."""
EXPORT_TIMEOUT_S = 5.0
TRACES = "/v1/traces"
"""Path of OTLP over HTTP."""


class Tracing(Observer):
    """Sends spans to an OpenTelemetry collector by OTLP over HTTP.

    The span "frame" lasts from arrival to result; its children are "queue" and the stages. The span "cycle" is a turn
    of the scheduler and links to its frames. A turn is sent with all of its frames or not at all.

    Args:
        endpoint: of the collector, e.g. "http://localhost:4318"; None for that of OTEL_EXPORTER_OTLP_ENDPOINT, or this
            machine. Credentials belong into OTEL_EXPORTER_OTLP_HEADERS.
        share: of the turns that are sent, above 0 and up to 1.
        provider: of a program that has its own; it decides where spans go, and is left open.

    Raises:
        UsageError: an endpoint that is no HTTP URL or holds credentials, or another share.
        MissingDependencyError: OpenTelemetry is not installed.
    """

    def __init__(
        self, endpoint: str | None = None, *, share: float = DEFAULT_SHARE, provider: TracerProvider | None = None
    ) -> None:
        if not 0 < share <= 1:
            raise UsageError(f"share of traced turns is {share}, expected a number above 0 and up to 1")
        self._share, self._random = share, random.Random()
        chosen = provider or _provider(endpoint)
        self._own = None if provider else chosen
        self._tracer = chosen.get_tracer("facesr_edge.live", __version__)
        self._sampled: bool | None = None  # not decided yet for this turn
        self._frames: list[Span] = []

    def done(self, result: LiveResult) -> None:
        """See `Observer`."""
        if self._sampled is None:
            self._sampled = self._random.random() < self._share
        if self._sampled:
            self._frames.append(self._send_frame(result))

    def cycled(self, cycle: Cycle) -> None:
        """See `Observer`."""
        if self._sampled:
            self._send_cycle(cycle)
        self._sampled = None
        self._frames.clear()

    def close(self) -> None:
        """Send what waits, for at most `CLOSE_S`; idempotent."""
        if self._own:
            closing = Thread(target=self._own.shutdown, name="tracing", daemon=True)
            closing.start()
            closing.join(CLOSE_S)
            self._own = None

    def _send_frame(self, result: LiveResult) -> Span:
        times, offset_ns = result.times, time.time_ns() - time.monotonic_ns()
        arrival, taken, done = (
            round(1e9 * time_s) + offset_ns for time_s in (times.arrival_s, times.taken_s, times.done_s)
        )
        frame = self._tracer.start_span("frame", start_time=arrival, attributes=_frame_attributes(result))
        within = _inside(frame)
        self._tracer.start_span("queue", within, start_time=arrival).end(taken)
        self._send_stages(result, within)
        frame.end(done)
        return frame

    def _send_stages(self, result: LiveResult, within: Context) -> None:
        """Spans of the stages; the part "detect.network" lies in the stage "detect"."""
        offset_ns = time.time_ns() - time.perf_counter_ns()
        stages: dict[str, Context] = {}
        for span in sorted(result.spans, key=lambda span: (span.start_ns, "." in span.name)):
            start = span.start_ns + offset_ns
            parent = stages.get(span.name.partition(".")[0], within)
            child = self._tracer.start_span(span.name, parent, start_time=start)
            stages.setdefault(span.name, _inside(child))
            child.end(start + span.duration_ns)

    def _send_cycle(self, cycle: Cycle) -> None:
        offset_ns = time.time_ns() - time.monotonic_ns()
        start, end = (round(1e9 * time_s) + offset_ns for time_s in (cycle.start_s, cycle.end_s))
        attributes: dict[str, Any] = {
            "facesr.cameras.count": len(cycle.cameras),
            "facesr.budget_ms": cycle.budget_ms,
            **{f"facesr.stage.{name}_ms": ms for name, ms in cycle.stages_ms.items()},
            **{f"facesr.faces.{_key(treatment)}": count for treatment, count in cycle.faces.items()},
        }
        links = [_link(frame) for frame in self._frames]
        self._tracer.start_span("cycle", start_time=start, attributes=attributes, links=links).end(end)


def _frame_attributes(result: LiveResult) -> Attributes:
    height, width = result.source.pixels.shape[:2]
    treatments = Counter(_key(face.treatment) for face in result.faces)
    return {
        "facesr.camera.name": result.camera,
        "facesr.frame.index": result.source.index,
        "facesr.frame.width": width,
        "facesr.frame.height": height,
        "facesr.frame.damaged": result.source.damaged,
        "facesr.frames.dropped": result.dropped,
        "facesr.detection.kind": result.detection.kind if result.detection else "predicted",
        "facesr.faces.count": len(result.faces) + len(result.skipped),
        **{f"facesr.faces.{name}": count for name, count in treatments.items()},
        "facesr.faces.skipped": len(result.skipped),
    }


def _key(treatment: str) -> str:
    """Name of an attribute: "small network" is "small_network"."""
    return treatment.replace(" ", "_")


def _inside(span: Span) -> Context:
    from opentelemetry.trace import set_span_in_context

    return set_span_in_context(span)


def _link(span: Span) -> Link:
    from opentelemetry.trace import Link

    return Link(span.get_span_context())


def _provider(endpoint: str | None) -> TracerProvider:
    """A provider that sends batches from a thread of its own; what the collector does not take in time is dropped."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise MissingDependencyError("OpenTelemetry", "telemetry", "tracing") from error
    exporter = OTLPSpanExporter(_traces_url(endpoint), timeout=EXPORT_TIMEOUT_S)
    resource = Resource.create({"service.name": "facesr-edge", "service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # at exit it would wait for the collector
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    return provider


def _traces_url(endpoint: str | None) -> str | None:
    if endpoint is None:
        return None
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError("the collector's endpoint is no HTTP URL; expected one like http://localhost:4318")
    if parts.username or parts.password or parts.query:
        raise UsageError("the collector's endpoint has credentials in its URL; set OTEL_EXPORTER_OTLP_HEADERS instead")
    return endpoint if parts.path.strip("/") else endpoint.rstrip("/") + TRACES
