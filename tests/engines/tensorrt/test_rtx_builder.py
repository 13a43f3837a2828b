"""Engines by the real parser and builder of TensorRT for RTX, which need no GPU."""

import json
import os
import re
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from facesr_edge.converters.builder_check import check_with_builder
from facesr_edge.converters.static_graph import static_graph
from facesr_edge.engines.bundle.bundle import Bundle, open_bundle
from facesr_edge.engines.bundle.engine_info import RTX_CAPABILITIES
from facesr_edge.engines.errors import BuildError, EngineError
from facesr_edge.engines.tensorrt.api import RTX, version
from facesr_edge.engines.tensorrt.builder import compile_engine
from facesr_edge.engines.tensorrt.layers import count_layers
from facesr_edge.engines.tensorrt.options import CompileOptions
from facesr_edge.sdk.bench.configs import convert_model
from facesr_edge.sdk.bench.engines import build_engines
from facesr_edge.sdk.cli.main import cli
from facesr_edge.zoo import catalogue

if not find_spec("tensorrt_rtx"):
    message = "TensorRT for RTX is not installed"
    if os.environ.get("CI"):
        raise ImportError(message)
    pytest.skip(message, allow_module_level=True)

FROM_AMPERE = RTX_CAPABILITIES[1:]


def invoke(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.mark.parametrize("name", catalogue.built())
def test_every_network_is_parsed_and_built(name):
    bundle = catalogue.find(name)
    io_spec = bundle.card.io_spec
    smallest = {"crop_sizes": io_spec.crop_sizes[:1]} if io_spec.crop_sizes else {"sizes_hw": ((384, 640),)}
    bundle = replace(bundle, card=replace(bundle.card, io_spec=replace(io_spec, **smallest)))
    graph = bundle.read_graph("model.onnx")
    options = CompileOptions(compute_capabilities=("8.6",))
    (plan,) = compile_engine(bundle, partial(static_graph, graph), options, product=RTX).plans.values()
    convolutions = sum(node.op_type == "Conv" for node in onnx.load_from_string(graph).graph.node)
    executed = count_layers(plan.layers)
    assert plan.promised["fp32"] >= convolutions > 0 and len(plan.engine) > 50_000
    assert executed.keys() == {"kernels", "fp32"} and executed["kernels"] > 3


@pytest.mark.parametrize("name", ["edge-tiny-x4-camera", "detector"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_low_precisions_are_executed_on_every_gpu(name, precision):
    rows = build_engines([catalogue.find(name)], [precision], FROM_AMPERE, sizes=1)
    assert len(rows) == len(FROM_AMPERE) and not any(row.problem for row in rows)
    for row in rows:
        assert row.executed[precision] == row.promised[precision] > 5, row
        assert not row.executed.get("fp32"), row
        assert row.nbytes < 15e6


def test_fp16_needs_no_kernel_that_turing_lacks():
    rows = build_engines([catalogue.find(name) for name in ("edge-tiny-x4-camera", "idrn-x4")], ["fp16"], ["7.5"], 1)
    assert not any(row.problem for row in rows) and all(row.executed["fp16"] > 5 for row in rows)


def test_int8_that_is_not_executed_is_an_error():
    """TensorRT for RTX builds INT8 graphs for Turing in FP16, without a warning."""
    (row,) = build_engines([catalogue.find("edge-nano-x4")], ["int8"], ["7.5"], sizes=1)
    assert re.search(
        r"for 32x32 px runs 0 of \d+ layers in INT8: \d+ fp16; build in another precision, without 7\.5", row.problem
    )


def test_edge_tiny_takes_few_kernels():
    (row,) = build_engines([catalogue.find("edge-tiny-x4")], ["fp16"], ["8.9"], sizes=1)
    assert row.kernels <= 16


def test_a_bundle_is_built_ahead_of_time(tmp_path):
    done = invoke("build", "edge-nano-x4", "--engine", RTX.engine, "-o", tmp_path / "rtx")
    assert done.exit_code == 0, done.output
    bundle = open_bundle(tmp_path / "rtx")
    info = bundle.card.engine
    assert (info.runtime, info.version, info.gpu) == (RTX.name, version(RTX), "")
    assert [side for side, _ in bundle.engines] == list(bundle.card.io_spec.crop_sizes)
    assert all(info.layers[f"{side}x{side}"]["kernels"] > 5 for side in bundle.card.io_spec.crop_sizes)
    assert json.loads(bundle.read("layers.json"))["64x64"][0].keys() == {"name", "kind", "precision"}
    assert "not tried yet" in done.output and RTX.name in invoke("inspect", tmp_path / "rtx").output


def test_a_bundle_for_a_device_is_checked_before_it_is_shipped():
    lines = []
    check_with_builder(catalogue.find("edge-nano-x4"), lines.append)
    assert len(lines) == 1 and re.search(r"checked with .* 8\.6: all 7 input sizes are built \(\d+ kernels", lines[0])


def test_both_graphs_of_an_int8_bundle_are_checked(tmp_path):
    (int8,) = convert_model(catalogue.find("edge-nano-x4"), [("int8", "tensorrt")], tmp_path).values()
    one_size = replace(int8.card, io_spec=replace(int8.card.io_spec, crop_sizes=(32,)))
    lines = []
    check_with_builder(Bundle(int8.folder, one_size), lines.append)
    assert [line.partition(":")[0] for line in lines] == ["int8", "fp16"]
    assert re.search(r"all 1 input sizes are built \(.* int8", lines[0]) and " int8" not in lines[1].partition(":")[2]


def test_a_graph_that_the_builder_refuses_is_told(monkeypatch):
    lines = []
    monkeypatch.setattr("facesr_edge.converters.builder_check.static_graph", lambda graph, *size: b"not a graph")
    check_with_builder(catalogue.find("edge-nano-x4"), lines.append)
    assert len(lines) == 1 and "cannot parse the graph" in lines[0] and "may fail on the device" in lines[0]


def test_an_invalid_graph_is_one_line(tmp_path, monkeypatch):
    bundle = catalogue.find("edge-nano-x4")
    monkeypatch.setattr("facesr_edge.sdk.bench.engines.static_graph", lambda graph, *size: b"not a graph")
    (row,) = build_engines([bundle], ["fp32"], ["8.6"], sizes=1)
    assert row.nbytes == 0 and "cannot parse the graph" in row.problem and "\n" not in row.problem


def test_a_size_without_a_static_graph_is_a_row_and_other_errors_end_the_benchmark(monkeypatch):
    def refuse(graph, height, width):
        if width == 32:
            raise BuildError("the graph cannot be simplified for 32x32 px")
        return static_graph(graph, height, width)

    monkeypatch.setattr("facesr_edge.sdk.bench.engines.static_graph", refuse)
    first, second = build_engines([catalogue.find("edge-nano-x4")], ["fp16"], ["8.6"], sizes=2)
    assert (first.size, first.capability) == ("32x32", "") and "cannot be simplified" in first.problem
    assert second.size == "48x48" and not second.problem and second.nbytes > 50_000

    def fail(*arguments, **options):
        raise EngineError("the driver is too old")

    monkeypatch.setattr("facesr_edge.sdk.bench.engines.compile_engine", fail)
    with pytest.raises(EngineError, match="driver"):
        build_engines([catalogue.find("edge-nano-x4")], ["fp16"], ["8.6"], sizes=2)


def test_the_table_is_printed_and_written(tmp_path):
    file = tmp_path / "engines.json"
    done = invoke(
        *("bench", "engines", "--model", "edge-nano-x4", "--precision", "fp32", "--sizes", "2"),
        *("--compute-capabilities", "8.6,8.9", "--json", file),
    )
    assert done.exit_code == 0 and re.search(r"edge-nano-x4 +fp32 +8\.6, 8\.9 +32x32", done.output)
    rows = json.loads(file.read_text())["engines"]
    assert [(row["size"], row["capability"]) for row in rows] == [
        (size, capability) for size in ("32x32", "48x48") for capability in ("8.6", "8.9")
    ]


@pytest.mark.parametrize("name", ["edge-nano-x4-camera", "idrn-x4"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_static_graph_computes_the_same(name, count, crops):
    graph = catalogue.find(name).read_graph("model.onnx")
    static, pixels = static_graph(graph, 48, 48), crops(48, count)
    expected, actual = (run(model, pixels) for model in (graph, static))
    differing = np.abs(expected[0].astype(int) - actual[0])
    assert differing.max() <= 1 and np.mean(differing > 0) <= 1e-4
    np.testing.assert_allclose(actual[1], expected[1], rtol=1e-3, atol=1e-4)
    nodes, fewer = (len(onnx.load_from_string(model).graph.node) for model in (graph, static))
    assert fewer < 0.6 * nodes


def run(model, pixels):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["enlarged", "residual"], {"pixels": pixels})


def test_a_static_graph_of_another_size_raises():
    static = static_graph(catalogue.find("edge-nano-x4").read_graph("model.onnx"), 32, 32)
    with pytest.raises(BuildError, match=r"expected a graph for 48x48 px, it takes 32 px only"):
        static_graph(static, 48, 48)
