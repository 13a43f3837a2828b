"""Timing tables: which networks and precisions are timed, ratios, and the output folder."""

from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.sdk.bench import tables
from facesr_edge.sdk.bench.configs import Backend, PreparedNetwork
from facesr_edge.sdk.bench.paper import PaperRow, PaperTable
from facesr_edge.sdk.bench.tables import measure_tables

from .conftest import INT8

FACES = np.zeros((2, 32, 32, 3), np.uint8)
SMALL = (
    PaperTable("depth", "depth", (PaperRow(1, 8, 4.4), PaperRow(2, 8, 4.8))),
    PaperTable("width", "width", (PaperRow(1, 8, 4.35), PaperRow(1, 16, 6.29))),
)


@pytest.fixture
def tiny_networks(monkeypatch, tiny_bundle):
    """Replace every network by the tiny one, in ONNX Runtime; returns prepared networks and batch sizes."""
    prepared, batches = [], []
    bundle = tiny_bundle()

    def prepare(size, kinds, folder):
        prepared.append((size, [precision for precision, _ in kinds]))
        bundles = {kind: Bundle(bundle.folder, replace(bundle.card, precision=kind[0])) for kind in kinds}
        return PreparedNetwork(size, "random", 1000 * size[0] * size[1], bundles, FACES)

    infer = OrtSession.infer
    monkeypatch.setattr("facesr_edge.sdk.bench.configs.installed", lambda: False)  # OpenVINO
    monkeypatch.setattr(tables, "prepare_network", prepare)
    monkeypatch.setattr(OrtSession, "infer", lambda session, batch: batches.append(len(batch)) or infer(session, batch))
    return prepared, batches


def test_every_network_is_timed_once_in_every_precision(tiny_networks):
    prepared, batches = tiny_networks
    timings = measure_tables(SMALL, precision="int8,fp32", batch=3, threads=1, rounds=2)
    assert prepared == [(size, ["fp32", "int8"]) for size in ((1, 8), (2, 8), (1, 16))]
    backends = [Backend("onnxruntime", precision) for precision in ("fp32", "int8")]
    assert [[b for b in network.latencies_ms if b in backends] for network in timings.networks.values()] == [
        backends
    ] * 3
    turns = len(backends) * len(timings.networks)
    timed = [n for n in batches if n > 1]  # a loaded bundle is tried with one face
    assert timed == [3] * (2 * turns * (2 + 2))  # two calls per turn; two warm-up and two measured rounds
    assert timings.to_dict()["tables"][1]["rows"][1]["gmac_ratio"] == 2


def test_slower_fp16_is_prepared_for_the_first_network_only(tiny_networks, monkeypatch):
    prepared, _ = tiny_networks
    fp16 = Backend("onnxruntime", "fp16")
    monkeypatch.setattr(tables, "slower_fp16", lambda network, sessions: {fp16: "FP16 is skipped"})
    timings = measure_tables(SMALL, threads=1, rounds=1)
    assert [precisions for _, precisions in prepared] == [["fp32", "fp16", "int8"], ["fp32", "int8"], ["fp32", "int8"]]
    assert fp16 not in timings.backends and "FP16 is skipped" in timings.notes


def test_requested_fp16_is_always_timed(tiny_networks, monkeypatch):
    monkeypatch.setattr(tables, "slower_fp16", None)
    timings = measure_tables(SMALL[:1], precision="fp16", threads=1, rounds=1)
    assert timings.backends[0] == Backend("onnxruntime", "fp16")


def test_steps_are_reported(tiny_networks):
    reported = []
    measure_tables(SMALL, precision="fp32", threads=1, rounds=2, report=lambda *step: reported.append(step))
    assert reported[:3] == [
        ("preparing depth 1, width 8", 0, 3),
        ("preparing depth 2, width 8", 1, 3),
        ("preparing depth 1, width 16", 2, 3),
    ]
    assert reported[-1] == ("timing", 2, 2)


def test_ratios_are_relative_to_the_first_row_of_each_table(timings):
    for table in timings.to_dict()["tables"]:
        first = table["rows"][0]
        assert (first["paper_ratio"], first["gmac_ratio"], first["measured"][0]["ratio"]) == (1, 1, 1)
        for row in table["rows"]:
            assert row["paper_ratio"] == pytest.approx(row["paper_ms"] / first["paper_ms"], abs=1e-4)
            fp32 = row["measured"][0]
            assert fp32["ratio"] == pytest.approx(row["gmac_ratio"], abs=1e-3)  # latency is proportional to MACs here
            assert fp32["best_ms"] < fp32["p10_ms"] < fp32["p50_ms"] < fp32["p90_ms"]


def test_row_without_a_backend_has_no_ratio(timings):
    width = timings.tables[1]
    assert timings.ratio(width, width.rows[2], INT8) is None and timings.ratio(width, width.rows[1], INT8) > 1


def test_json_has_ms_per_face_of_a_batch(timings):
    (row, *_) = replace(timings, batch=4).to_dict()["tables"][0]["rows"]
    assert all(4 * one["p50_ms_per_face"] == pytest.approx(one["p50_ms"], abs=0.01) for one in row["measured"])
