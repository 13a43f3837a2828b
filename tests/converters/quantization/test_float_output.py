"""The last convolution of a CPU's INT8 graph: it reads 8 bits and gives floats, in every runtime the same."""

import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.converters.export.convert import convert, export_target
from facesr_edge.converters.quantization.ptq import ptq_unchecked
from facesr_edge.converters.quantization.qdq import PAIR, with_float_output
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.bundle.card import Card
from facesr_edge.engines.bundle.io_spec import super_resolution
from facesr_edge.engines.errors import BuildError
from facesr_edge.engines.onnxruntime.session import OrtGraph
from facesr_edge.engines.openvino.session import OvSession, installed
from facesr_edge.networks.edge.network import Edge
from onnx import TensorProto, helper, numpy_helper
from torch import nn


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The network's ONNX files in FP32 and INT8, and pixels."""
    folder = tmp_path_factory.mktemp("float_output")
    torch.manual_seed(0)
    network = Edge(16, 2, 4)
    for layer in network.body:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.normal_(network.tail.weight, std=0.03)  # some tens of levels
    nn.init.normal_(network.tail.bias, std=0.03)
    what = export_target(network, super_resolution(4), sample_faces())
    convert(what, folder / "fp32.onnx", lambda line: None)
    ptq_unchecked(what, folder / "fp32.onnx", folder / "model.onnx", [what.pixels])
    return folder / "fp32.onnx", folder / "model.onnx", what.pixels


@pytest.fixture
def graph(built):
    return onnx.load(built[1]).graph


def tail_of(graph):
    return [node for node in graph.node if node.op_type == "Conv"][-1]


def test_it_reads_eight_bits_and_gives_floats(graph):
    tail = tail_of(graph)
    makers = {name: node for node in graph.node for name in node.output}
    assert makers[tail.input[0]].op_type == "DequantizeLinear"
    assert [node.op_type for node in graph.node if tail.output[0] in node.input] == ["DepthToSpace"]
    inner = [node for node in graph.node if node.op_type == "Conv"][1:-1]
    after = {node.input[0]: node.op_type for node in graph.node if node.input}
    assert {after[node.output[0]] for node in inner} == {"QuantizeLinear"}


def test_its_weights_are_bytes_within_half_a_step_of_what_they_were_and_its_bias_as_it_was(graph, built):
    plain = onnx.load(built[0]).graph
    before = {t.name: numpy_helper.to_array(t) for t in plain.initializer}
    after = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    times = makers[tail_of(graph).input[1]]
    stored, step = after[makers[times.input[0]].input[0]], after[times.input[1]]
    weights, bias = (before[name] for name in tail_of(plain).input[1:])
    assert times.op_type == "Mul" and stored.dtype == np.int8 and np.abs(stored).max() == 64
    assert (np.abs(stored * step - weights) <= 0.501 * step).all()
    assert np.array_equal(after[tail_of(graph).input[2]], bias)


def test_every_tensor_that_a_node_reads_is_made_and_none_is_left_over(graph):
    read = {name for node in graph.node for name in node.input if name}
    made = {name for node in graph.node for name in node.output}
    given = {tensor.name for tensor in graph.initializer} | {"pixels"}
    assert read <= made | given and given <= read
    assert made - read == {graph.output[0].name}


def test_both_runtimes_say_the_same_and_little_is_lost(built):
    fp32, int8 = (OrtGraph(path).run(built[2])[0].astype(float) for path in built[:2])
    assert np.abs(int8 - fp32).mean() < 1.5 and np.abs(int8 - fp32).max() > 0
    if not installed():
        pytest.skip("needs OpenVINO; pip install 'facesr-edge[openvino]'")
    there = OvSession(Bundle(built[1].parent, Card("tiny", super_resolution(4), "int8", "edge", {})), 1)
    apart = np.abs(there.infer(built[2]).astype(float) - int8)
    assert apart.mean() < 0.1 * np.abs(int8 - fp32).mean() + 0.05


def heads(pair=PAIR):
    """Two convolutions of the same weights and bias that no other follows, in INT8 and in floats."""
    tensors = {
        "s": np.array(0.01, np.float32),
        "z": np.array(0, np.uint8),
        "w8": np.arange(-4, 4, dtype=np.int8).reshape(8, 1, 1, 1),
        "ws": np.linspace(0.1, 0.8, 8, dtype=np.float32),
        "wz": np.zeros(8, np.int8),
        "b": np.arange(8, dtype=np.float32) / 100,
    }
    w = tensors["w8"] * tensors["ws"].reshape(8, 1, 1, 1)
    low, floats = [helper.make_node("DequantizeLinear", ["w8", "ws", "wz"], ["wf"], name="wf", axis=0)], []
    for name in ("one", "two"):
        floats.append(helper.make_node("Conv", ["x", "w", "b"], [f"{name}.out"], name=name))
        low.append(helper.make_node("Conv", ["x", "wf", "b"], [f"{name}.sum"], name=name))
        low.append(helper.make_node(pair[0], [f"{name}.sum", *"sz"[: 2 * (pair[0] == PAIR[0])]], [f"{name}.8"]))
        low.append(helper.make_node(pair[1], [f"{name}.8", *"sz"[: 2 * (pair[1] == PAIR[1])]], [f"{name}.back"]))
        low.append(helper.make_node("Identity", [f"{name}.back"], [f"{name}.out"]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 2, 2])
    out = [helper.make_tensor_value_info(f"{name}.out", TensorProto.FLOAT, [1, 8, 2, 2]) for name in ("one", "two")]
    made = []
    for nodes, given in ((low, tensors), (floats, {"w": w, "b": tensors["b"]})):
        graph = helper.make_graph(nodes, "g", [x], out, [numpy_helper.from_array(v, k) for k, v in given.items()])
        made.append(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))
    return made


def test_heads_that_share_weights_and_bias_give_what_floats_give(tmp_path):
    low, floats = heads()
    before, x = low.SerializeToString(), np.random.default_rng(0).normal(size=(1, 1, 2, 2)).astype(np.float32)
    made = with_float_output(low, floats, {"one", "two"})
    assert low.SerializeToString() == before
    onnx.save(made, tmp_path / "made.onnx")
    onnx.save(floats, tmp_path / "floats.onnx")
    for ours, theirs in zip(
        OrtGraph(tmp_path / "made.onnx").run(x), OrtGraph(tmp_path / "floats.onnx").run(x), strict=True
    ):
        assert np.allclose(ours, theirs, atol=1e-6)


def test_one_head_of_two_may_stay_as_it_was():
    low, floats = heads()
    made = with_float_output(low, floats, {"one"}).graph
    assert [node.op_type for node in made.node].count("QuantizeLinear") == 1
    assert {"wf", "w8.times"} <= {name for node in made.node for name in node.output}


@pytest.mark.parametrize("pair", [("Relu", "Relu"), ("QuantizeLinear", "Cast")])
def test_what_is_not_quantised_as_expected_is_refused(pair):
    with pytest.raises(BuildError, match=r"one is not followed by .*; build with --fp16 or --fp32"):
        with_float_output(*heads(pair), {"one"})
