"""Synthetic benchmark results."""

import pytest
from facesr_edge.calibration.timing import LatencyStats
from facesr_edge.sdk.bench.configs import Backend
from facesr_edge.sdk.bench.paper import TABLES, sizes
from facesr_edge.sdk.bench.pareto import ParetoResult, Point
from facesr_edge.sdk.bench.tables import NetworkLatency, TableTimings
from facesr_edge.sdk.doctor.machine import this_machine

FP32, INT8 = Backend("onnxruntime", "fp32"), Backend("onnxruntime", "int8")


def stats(ms):
    """Latency statistics around a median."""
    return LatencyStats(0.9 * ms, 0.95 * ms, ms, 1.2 * ms, 1.3 * ms, 1.05 * ms)


def point(model, ms, gain, backend=FP32):
    return Point(model, backend, 29 + gain, gain, 10**8, stats(ms))


def pareto_of(*points):
    points = tuple(sorted(points, key=lambda p: p.latency_ms.p50))
    return ParetoResult(this_machine(), "2026-01-31T12:00:00+00:00", 0.1, 4, 32, "10 faces of test", 1, 0, 30, points)


@pytest.fixture
def timings():
    """The tables of the paper with latencies proportional to multiply-adds; INT8 is missing for one network."""
    networks = {}
    for depth, width in sizes(TABLES):
        macs = 1024 * (27 * width + 27 * depth * width**2 + 180 * width**2 + 432 * width)
        latencies = {FP32: stats(macs / 1.7e8)} | ({} if width == 192 else {INT8: stats(macs / 4e8)})
        networks[depth, width] = NetworkLatency("random", macs, latencies)
    run = ("2026-01-31T12:00:00+00:00", 0.1, 1, 0, 50, {"onnxruntime": "ONNX Runtime"})
    return TableTimings(this_machine(), *run, TABLES, networks, ("a note",))
