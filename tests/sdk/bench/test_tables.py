"""A run of the tables: what is made of each network, and that all of them take part in turn."""

from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.engines.bundle.bundle import FP16_ONNX, WEIGHTS, Bundle
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.sdk.bench import tables
from facesr_edge.sdk.bench.configs import Backend, Prepared, prepare
from facesr_edge.sdk.bench.paper import PaperRow, PaperTable

pytest.importorskip("torch", reason="needs PyTorch to make the networks; pip install 'facesr-edge[build]'")

FACES = np.zeros((2, 32, 32, 3), np.uint8)
SMALL = (
    PaperTable("depth", "depth", (PaperRow(1, 8, 4.4), PaperRow(2, 8, 4.8))),
    PaperTable("width", "width", (PaperRow(1, 8, 4.35), PaperRow(1, 16, 6.29))),
)


@pytest.fixture
def one_for_all(monkeypatch, tiny_bundle):
    """Every network is the tiny one, in ONNX Runtime; what was asked for, and what was run on how many faces."""
    asked, run = [], []
    bundle = tiny_bundle()

    def prepared(size, kinds, folder):
        asked.append((size, [precision for precision, _ in kinds]))
        bundles = {kind: Bundle(bundle.folder, replace(bundle.card, precision=kind[0])) for kind in kinds}
        return Prepared(size, "random", 1000 * size[0] * size[1], bundles, FACES)

    infer = OrtSession.infer
    monkeypatch.setattr("facesr_edge.sdk.bench.configs.installed", lambda: False)  # OpenVINO
    monkeypatch.setattr(tables, "prepare", prepared)
    monkeypatch.setattr(OrtSession, "infer", lambda session, batch: run.append(len(batch)) or infer(session, batch))
    return asked, run


def test_every_network_is_timed_once_in_every_precision(one_for_all):
    asked, run = one_for_all
    timing = tables.measure(SMALL, precision="int8,fp32", batch=3, threads=1, rounds=2)
    assert asked == [(size, ["fp32", "int8"]) for size in ((1, 8), (2, 8), (1, 16))]
    ours = [Backend("onnxruntime", precision) for precision in ("fp32", "int8")]
    assert [[who for who in network.taken if who in ours] for network in timing.networks.values()] == [ours] * 3
    turns = len(ours) * len(timing.networks)
    assert run == [3] * (2 * turns * (2 + 2))  # twice a turn; two rounds to warm up, two that count
    assert timing.to_dict()["tables"][1]["rows"][1]["gmac_ratio"] == 2


def test_fp16_that_is_slower_is_made_of_the_first_network_alone(one_for_all, monkeypatch):
    asked, _ = one_for_all
    half = Backend("onnxruntime", "fp16")
    monkeypatch.setattr(tables, "slow_halves", lambda network, sessions: {half: "FP16 is left out"})
    timing = tables.measure(SMALL, threads=1, rounds=1)
    assert [precisions for _, precisions in asked] == [["fp32", "fp16", "int8"], ["fp32", "int8"], ["fp32", "int8"]]
    assert half not in timing.contestants and "FP16 is left out" in timing.notes


def test_fp16_that_was_asked_for_is_timed_whatever_it_takes(one_for_all, monkeypatch):
    monkeypatch.setattr(tables, "slow_halves", None)
    timing = tables.measure(SMALL[:1], precision="fp16", threads=1, rounds=1)
    assert timing.contestants[0] == Backend("onnxruntime", "fp16")


def test_what_is_going_on_is_told(one_for_all):
    told = []
    tables.measure(SMALL, precision="fp32", threads=1, rounds=2, watch=lambda *what: told.append(what))
    assert told[:3] == [
        ("preparing depth 1, width 8", 0, 3),
        ("preparing depth 2, width 8", 1, 3),
        ("preparing depth 1, width 16", 2, 3),
    ]
    assert told[-1] == ("timing", 2, 2)


def test_the_network_that_ships_is_taken_as_it_is(tmp_path):
    from facesr_edge.zoo import catalogue

    made = prepare((8, 64), [("fp32", "cpu")], tmp_path)
    assert made.weights == "idrn-x4" and made.macs == 1024 * (27 * 64 + 27 * 8 * 64**2 + 180 * 64**2 + 432 * 64)
    assert made.bundles["fp32", "cpu"].onnx.read_bytes() == catalogue.find("idrn-x4").onnx.read_bytes()


def test_a_network_that_nobody_trained_goes_to_int8_for_both_kinds_of_device(tmp_path):
    made = prepare((1, 8), [("fp32", "cpu"), ("int8", "cpu"), ("int8", "tensorrt")], tmp_path)
    assert made.weights == "random"
    full, cpu, gpu = made.bundles.values()
    assert FP16_ONNX in gpu.card.files and FP16_ONNX not in cpu.card.files
    assert all(WEIGHTS in bundle.card.files for bundle in (full, cpu, gpu))
    for bundle in (cpu, gpu):
        assert b"QuantizeLinear" in bundle.onnx.read_bytes()
    assert b"QuantizeLinear" not in full.onnx.read_bytes()
    enlarged = [OrtSession(bundle, 1).infer(made.faces).astype(int) for bundle in (full, cpu, gpu)]
    assert enlarged[0].shape == (len(made.faces), 128, 128, 3)
    assert all(0 < np.abs(enlarged[0] - other).mean() < 8 for other in enlarged[1:])
