"""Benchmark configurations: tables of the paper, precisions, backends, and converted networks."""

from time import sleep

import numpy as np
import pytest
from facesr_edge.engines.bundle.bundle import FP16_ONNX, WEIGHTS
from facesr_edge.engines.errors import UnknownNameError, UsageError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.sdk.bench.configs import (
    Backend,
    PreparedNetwork,
    available_backends,
    parse_precisions,
    prepare_network,
    slower_fp16,
)
from facesr_edge.sdk.bench.paper import TABLES, sizes
from facesr_edge.zoo import catalogue

from .conftest import FP32, INT8


def test_tables_are_those_of_the_paper():
    assert [(t.varies, [(r.size, r.paper_ms) for r in t.rows]) for t in TABLES] == [
        ("depth", [((8, 64), 4.4), ((12, 64), 4.8), ((16, 64), 5.0), ((20, 64), 5.7)]),
        ("width", [((8, 64), 4.35), ((8, 128), 6.29), ((8, 192), 7.96)]),
    ]


def test_network_in_both_tables_is_listed_once():
    assert sizes(TABLES) == [(8, 64), (12, 64), (16, 64), (20, 64), (8, 128), (8, 192)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ("fp32", "fp16", "int8")),
        ("int8", ("int8",)),
        ("int8, FP32", ("fp32", "int8")),
    ],
)
def test_precisions_are_parsed(text, expected):
    assert parse_precisions(text) == expected


def test_unknown_precision_raises_with_a_suggestion():
    with pytest.raises(UnknownNameError, match="did you mean 'fp16'"):
        parse_precisions("fp32,pf16")


def test_repeated_precision_raises():
    with pytest.raises(UsageError, match="each precision once, got fp32,fp32"):
        parse_precisions("fp32,fp32")


def test_onnx_runtime_is_always_available():
    backends = available_backends(("fp32", "int8"))
    assert backends[:2] == [FP32, INT8]
    assert all(backend.graph_kind == (backend.precision, "cpu") for backend in backends[:2])


@pytest.mark.parametrize("installed", [True, False])
def test_openvino_is_available_if_installed(monkeypatch, installed):
    monkeypatch.setattr("facesr_edge.sdk.bench.configs.installed", lambda: installed)
    engines = {backend.engine: str(backend) for backend in available_backends(("int8",))}
    assert engines.get("openvino") == ("OpenVINO INT8" if installed else None)


def test_tensorrt_int8_has_its_own_graph_kind():
    assert Backend("tensorrt", "int8").graph_kind == ("int8", "tensorrt")
    assert Backend("tensorrt", "fp16").graph_kind == ("fp16", "cpu")


@pytest.mark.parametrize(("fp16_s", "skipped"), [(0.02, True), (0.001, False)])
def test_fp16_is_skipped_by_default_if_it_is_slower(fp16_s, skipped):
    class Sleeper:
        def __init__(self, seconds):
            self.infer = lambda faces: sleep(seconds)

    network = PreparedNetwork((8, 64), "random", 1, {}, np.zeros((1, 32, 32, 3), np.uint8))
    fp16 = Backend("onnxruntime", "fp16")
    notes = slower_fp16(network, {FP32: Sleeper(0.008), fp16: Sleeper(fp16_s), INT8: Sleeper(0)})
    assert set(notes) == ({fp16} if skipped else set())
    assert not skipped or "ONNX Runtime FP16 is skipped" in notes[fp16]


def test_zoo_model_is_used_unchanged(tmp_path):
    pytest.importorskip("torch", reason="needs PyTorch; pip install 'facesr-edge[build]'")
    network = prepare_network((8, 64), [("fp32", "cpu")], tmp_path)
    assert network.weights == "idrn-x4"
    assert network.macs == 1024 * (27 * 64 + 27 * 8 * 64**2 + 180 * 64**2 + 432 * 64)
    assert network.bundles["fp32", "cpu"].onnx.read_bytes() == catalogue.find("idrn-x4").onnx.read_bytes()


def test_fp32_for_tensorrt_is_exported_for_gpus(tmp_path):
    pytest.importorskip("torch", reason="needs PyTorch; pip install 'facesr-edge[build]'")
    network = prepare_network((1, 8), [("fp32", "cpu"), ("fp32", "tensorrt")], tmp_path)
    cpu, tensorrt = network.bundles.values()
    assert cpu.onnx.read_bytes() != tensorrt.onnx.read_bytes() and tensorrt.card.precision == "fp32"
    expected, actual = (OrtSession(bundle, 1).infer(network.faces).astype(int) for bundle in (cpu, tensorrt))
    assert np.abs(expected - actual).max() <= 1


def test_random_network_is_quantized_for_cpu_and_tensorrt(tmp_path):
    pytest.importorskip("torch", reason="needs PyTorch; pip install 'facesr-edge[build]'")
    network = prepare_network((1, 8), [("fp32", "cpu"), ("int8", "cpu"), ("int8", "tensorrt")], tmp_path)
    assert network.weights == "random" and network.macs == 32 * 32 * (27 * 8 + 27 * 64 + 180 * 64 + 27 * 8 * 16)
    fp32, cpu, tensorrt = network.bundles.values()
    assert FP16_ONNX in tensorrt.card.files and FP16_ONNX not in cpu.card.files
    assert all(WEIGHTS in bundle.card.files for bundle in (fp32, cpu, tensorrt))
    assert b"QuantizeLinear" not in fp32.onnx.read_bytes()
    assert all(b"QuantizeLinear" in bundle.onnx.read_bytes() for bundle in (cpu, tensorrt))
    results = [OrtSession(bundle, 1).infer(network.faces).astype(int) for bundle in (fp32, cpu, tensorrt)]
    assert results[0].shape == (len(network.faces), 128, 128, 3)
    assert all(0 < np.abs(results[0] - result).mean() < 8 for result in results[1:])
