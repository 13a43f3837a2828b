"""The last convolution of an INT8 graph for CPUs: INT8 inputs, FP32 output, the same in both runtimes."""

import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.converters.export.convert import export_fp32, export_target
from facesr_edge.converters.quantization.ptq import ptq_unchecked
from facesr_edge.converters.quantization.qdq import QDQ, with_float_output
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.bundle.card import Card
from facesr_edge.engines.bundle.io_spec import super_resolution
from facesr_edge.engines.bundle.projection import PREFIX
from facesr_edge.engines.errors import BuildError
from facesr_edge.engines.onnxruntime.session import OrtGraph
from facesr_edge.engines.openvino.session import OvSession, installed
from facesr_edge.networks.edge.network import Edge
from onnx import TensorProto, helper, numpy_helper
from torch import nn


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """ONNX files of the network in FP32 and INT8, and input pixels."""
    folder = tmp_path_factory.mktemp("float_output")
    torch.manual_seed(0)
    network = Edge(16, 2, 4)
    for layer in network.body:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.normal_(network.tail.weight, std=0.03)  # a residual of tens of gray levels
    nn.init.normal_(network.tail.bias, std=0.03)
    target = export_target(network, super_resolution(4), sample_faces())
    export_fp32(target, folder / "fp32.onnx", lambda line: None)
    ptq_unchecked(target, folder / "fp32.onnx", folder / "model.onnx", [target.pixels])
    return folder / "fp32.onnx", folder / "model.onnx", target.pixels


@pytest.fixture
def graph(built):
    return onnx.load(built[1]).graph


def convolutions(graph):
    """Those of the network, without the projection's."""
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    return [node for node in nodes if not node.input[1].startswith(PREFIX)]


def last_convolution(graph):
    return convolutions(graph)[-1]


def test_last_convolution_has_int8_input_and_fp32_output(graph):
    tail = last_convolution(graph)
    producers = {name: node for node in graph.node for name in node.output}
    assert producers[tail.input[0]].op_type == "DequantizeLinear"
    assert sorted(node.op_type for node in graph.node if tail.output[0] in node.input) == ["Add", "Conv"]
    inner = convolutions(graph)[1:-1]
    after = {node.input[0]: node.op_type for node in graph.node if node.input}
    assert {after[node.output[0]] for node in inner} == {"QuantizeLinear"}


def test_weights_are_int8_within_half_a_step_and_the_bias_is_unchanged(graph, built):
    fp32 = onnx.load(built[0]).graph
    before = {t.name: numpy_helper.to_array(t) for t in fp32.initializer}
    after = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    product = producers[last_convolution(graph).input[1]]
    stored, step = after[producers[product.input[0]].input[0]], after[product.input[1]]
    weights, bias = (before[name] for name in last_convolution(fp32).input[1:])
    assert product.op_type == "Mul" and stored.dtype == np.int8 and np.abs(stored).max() == 64
    assert (np.abs(stored * step - weights) <= 0.501 * step).all()
    assert np.array_equal(after[last_convolution(graph).input[2]], bias)


def test_graph_has_no_missing_and_no_unused_tensors(graph):
    read = {name for node in graph.node for name in node.input if name}
    written = {name for node in graph.node for name in node.output}
    inputs = {tensor.name for tensor in graph.initializer} | {"pixels"}
    assert read <= written | inputs and inputs <= read
    assert written - read == {output.name for output in graph.output}


def test_both_runtimes_agree_and_the_loss_is_small(built):
    fp32, int8 = (OrtGraph(path).run(built[2])[0].astype(float) for path in built[:2])
    assert np.abs(int8 - fp32).mean() < 1.5 and np.abs(int8 - fp32).max() > 0
    if not installed():
        pytest.skip("needs OpenVINO; pip install 'facesr-edge[openvino]'")
    openvino = OvSession(Bundle(built[1].parent, Card("tiny", super_resolution(4), "int8", "edge", {})), 1)
    difference = np.abs(openvino.infer(built[2]).astype(float) - int8)
    assert difference.mean() < 0.1 * np.abs(int8 - fp32).mean() + 0.05


def heads(pair=QDQ):
    """INT8 and FP32 models of two last convolutions with shared weights and bias."""
    tensors = {
        "s": np.array(0.01, np.float32),
        "z": np.array(0, np.uint8),
        "w8": np.arange(-4, 4, dtype=np.int8).reshape(8, 1, 1, 1),
        "ws": np.linspace(0.1, 0.8, 8, dtype=np.float32),
        "wz": np.zeros(8, np.int8),
        "b": np.arange(8, dtype=np.float32) / 100,
    }
    w = tensors["w8"] * tensors["ws"].reshape(8, 1, 1, 1)
    int8, fp32 = [helper.make_node("DequantizeLinear", ["w8", "ws", "wz"], ["wf"], name="wf", axis=0)], []
    for name in ("one", "two"):
        fp32.append(helper.make_node("Conv", ["x", "w", "b"], [f"{name}.out"], name=name))
        int8.append(helper.make_node("Conv", ["x", "wf", "b"], [f"{name}.sum"], name=name))
        int8.append(helper.make_node(pair[0], [f"{name}.sum", *"sz"[: 2 * (pair[0] == QDQ[0])]], [f"{name}.8"]))
        int8.append(helper.make_node(pair[1], [f"{name}.8", *"sz"[: 2 * (pair[1] == QDQ[1])]], [f"{name}.back"]))
        int8.append(helper.make_node("Identity", [f"{name}.back"], [f"{name}.out"]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 2, 2])
    out = [helper.make_tensor_value_info(f"{name}.out", TensorProto.FLOAT, [1, 8, 2, 2]) for name in ("one", "two")]
    made = []
    for nodes, values in ((int8, tensors), (fp32, {"w": w, "b": tensors["b"]})):
        graph = helper.make_graph(nodes, "g", [x], out, [numpy_helper.from_array(v, k) for k, v in values.items()])
        made.append(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))
    return made


def test_heads_with_shared_weights_equal_fp32(tmp_path):
    int8, fp32 = heads()
    before, x = int8.SerializeToString(), np.random.default_rng(0).normal(size=(1, 1, 2, 2)).astype(np.float32)
    made = with_float_output(int8, fp32, {"one", "two"})
    assert int8.SerializeToString() == before
    onnx.save(made, tmp_path / "made.onnx")
    onnx.save(fp32, tmp_path / "fp32.onnx")
    outputs, expected = (OrtGraph(tmp_path / name).run(x) for name in ("made.onnx", "fp32.onnx"))
    assert all(np.allclose(*pair, atol=1e-6) for pair in zip(outputs, expected, strict=True))


def test_one_of_two_heads_can_keep_its_quantized_output():
    int8, fp32 = heads()
    made = with_float_output(int8, fp32, {"one"}).graph
    assert [node.op_type for node in made.node].count("QuantizeLinear") == 1
    assert {"wf", "w8.times"} <= {name for node in made.node for name in node.output}


@pytest.mark.parametrize("pair", [("Relu", "Relu"), ("QuantizeLinear", "Cast")])
def test_convolution_without_qdq_pair_is_an_error(pair):
    with pytest.raises(BuildError, match=r"one is not followed by .*; build with --fp16 or --fp32"):
        with_float_output(*heads(pair), {"one"})
