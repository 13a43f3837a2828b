"""Traces: spans of frames and turns in memory, and as a collector receives them by OTLP over HTTP."""

import subprocess
import sys
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from facesr_edge.engines.errors import MissingDependencyError, UsageError
from facesr_edge.sdk.live.monitoring.tracing import Tracing
from facesr_edge.sdk.live.observer import Cycle
from facesr_edge.sdk.profiling.timing import Span
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.timed_results import live_face, live_result, skipped_face


@pytest.fixture
def memory():
    """A tracing provider and the exporter that keeps its spans."""
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def turn(tracing, cameras=("door", "gate")):
    """One turn of the scheduler; returns when its frames arrived."""
    arrival_s = time.monotonic() - 0.1
    for camera in cameras:
        faces = [live_face(1), live_face(2, treatment="small network")]
        tracing.done(live_result(camera, arrival_s, 5, 20, faces, [skipped_face()], dropped=3))
    stages = {"detect": 8.0, "upscale": 11.0}
    tracing.cycled(Cycle(arrival_s + 0.004, arrival_s + 0.026, cameras, {"network": 2}, stages, 80.0))
    return arrival_s


def test_a_frame_is_a_span_from_arrival_to_result_with_its_stages_inside(memory):
    provider, exporter = memory
    tracing, before_ns = Tracing(share=1, provider=provider), time.time_ns()
    turn(tracing, ("door",))
    spans = {span.name: span for span in exporter.get_finished_spans()}
    frame = spans["frame"]
    assert set(spans) == {"frame", "queue", "detect", "detect.network", "crop", "upscale", "cycle"}
    assert (frame.end_time - frame.start_time) / 1e6 == pytest.approx(25, abs=0.01)
    assert before_ns - frame.start_time == pytest.approx(100e6, abs=80e6)  # on the wall clock
    for name in ("queue", "detect", "crop", "upscale"):
        assert spans[name].parent.span_id == frame.context.span_id
        assert frame.start_time - 1e6 <= spans[name].start_time <= spans[name].end_time <= frame.end_time + 1e6
    assert spans["detect.network"].parent.span_id == spans["detect"].context.span_id
    assert (spans["queue"].end_time - spans["queue"].start_time) / 1e6 == pytest.approx(5, abs=0.01)
    assert spans["upscale"].end_time - spans["upscale"].start_time == 11_000_000
    attributes = dict(frame.attributes)
    assert attributes["facesr.camera.name"] == "door" and attributes["facesr.frames.dropped"] == 3
    assert (attributes["facesr.frame.width"], attributes["facesr.frame.height"]) == (64, 36)
    counts = {name.rpartition(".")[2]: value for name, value in attributes.items() if ".faces." in name}
    assert counts == {"count": 3, "network": 1, "small_network": 1, "skipped": 1}


def test_a_turn_is_a_span_that_links_to_its_frames(memory):
    provider, exporter = memory
    tracing = Tracing(share=1, provider=provider)
    turn(tracing)
    turn(tracing, ("door",))
    spans = exporter.get_finished_spans()
    first, second = (span for span in spans if span.name == "cycle")
    frames = [span.context.span_id for span in spans if span.name == "frame"]
    assert [link.context.span_id for link in first.links] == frames[:2]
    assert [link.context.span_id for link in second.links] == frames[2:]
    assert first.attributes["facesr.stage.upscale_ms"] == 11.0 and first.attributes["facesr.budget_ms"] == 80.0
    assert (first.end_time - first.start_time) / 1e6 == pytest.approx(22, abs=0.01)


def test_a_share_of_the_turns_is_sent_each_with_all_its_frames(memory):
    provider, exporter = memory
    tracing = Tracing(share=0.25, provider=provider)
    for _ in range(400):
        turn(tracing)
    cycles = [span for span in exporter.get_finished_spans() if span.name == "cycle"]
    assert 50 < len(cycles) < 160 and all(len(span.links) == 2 for span in cycles)
    assert sum(span.name == "frame" for span in exporter.get_finished_spans()) == 2 * len(cycles)


def test_a_turn_that_is_not_sent_costs_nothing(memory):
    provider, _ = memory
    tracing, result = Tracing(share=1e-9, provider=provider), live_result("door")

    def cost_us(count=1000):
        start = time.perf_counter()
        for _ in range(count):
            tracing.done(result)
        return 1e6 * (time.perf_counter() - start) / count

    assert min(cost_us() for _ in range(5)) < 5


def test_spans_without_stages_are_sent(memory):
    provider, exporter = memory
    tracing = Tracing(share=1, provider=provider)
    tracing.done(live_result("door", time.monotonic(), detection=None, spans=[Span("upscale.network", 0, 5)]))
    frame = exporter.get_finished_spans()[-1]
    assert frame.attributes["facesr.detection.kind"] == "predicted"


@contextmanager
def collector(delay_s=0.0):
    """A collector of OTLP over HTTP: its URL, and the requests that it received."""
    received = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            time.sleep(delay_s)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_collector_receives_the_spans_over_http():
    with collector() as (url, received):
        tracing = Tracing(url, share=1)
        turn(tracing)
        tracing.close()
        tracing.close()
    assert {path for path, _ in received} == {"/v1/traces"}
    resources = [resource for _, request in received for resource in request.resource_spans]
    service = {item.key: item.value.string_value for item in resources[0].resource.attributes}
    assert service["service.name"] == "facesr-edge"
    spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
    assert sorted({span.name for span in spans}) == [
        *("crop", "cycle", "detect", "detect.network", "frame", "queue", "upscale"),
    ]
    frames = {span.span_id for span in spans if span.name == "frame"}
    (cycle,) = [span for span in spans if span.name == "cycle"]
    assert len(frames) == 2 and {link.span_id for link in cycle.links} == frames


@pytest.mark.parametrize("answers", [True, False])
def test_a_slow_or_missing_collector_does_not_delay_the_end(answers):
    with collector(delay_s=3.0) as (url, _):
        tracing = Tracing(url if answers else "http://127.0.0.1:9", share=1)
        turn(tracing)
        start = time.monotonic()
        tracing.close()
        assert time.monotonic() - start < 1.0


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("localhost:4318", "no HTTP URL"),
        ("grpc://localhost", "no HTTP URL"),
        ("http://user:secret@host:4318", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("http://host/v1/traces?token=secret", "OTEL_EXPORTER_OTLP_HEADERS"),
    ],
)
def test_other_endpoints_are_refused_without_repeating_them(endpoint, expected):
    with pytest.raises(UsageError, match=expected) as refused:
        Tracing(endpoint)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("share", [0, -0.5, 1.5, float("nan")])
def test_other_shares_are_refused(share):
    with pytest.raises(UsageError, match="above 0 and up to 1"):
        Tracing(share=share)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(MissingDependencyError, match=r"facesr-edge\[telemetry\]"):
        Tracing()


def test_the_package_is_not_imported_before_it_is_needed():
    program = "import sys, facesr_edge.sdk.live.monitoring.tracing; print('opentelemetry' in sys.modules)"
    env = {"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "/usr/bin"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env)
    assert done.stdout == "False\n"
