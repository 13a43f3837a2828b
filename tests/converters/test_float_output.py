"""The last convolution of a CPU's INT8 graph: it reads 8 bits and gives floats, in every runtime the same."""

import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.sample import sample_faces
from facesr_edge.converters.convert import convert, subject
from facesr_edge.converters.ungated import quantise_ungated
from facesr_edge.engines.contract import super_resolution
from facesr_edge.engines.ort import Graph
from facesr_edge.engines.ov import Compiled, _read
from facesr_edge.networks.edge import Edge
from onnx import numpy_helper
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
    what = subject(network, super_resolution(4), sample_faces())
    convert(what, folder / "fp32.onnx", lambda line: None)
    quantise_ungated(what, folder / "fp32.onnx", folder / "int8.onnx", [what.pixels])
    return folder / "fp32.onnx", folder / "int8.onnx", what.pixels


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
    fp32, int8 = (Graph(path).run(built[2])[0].astype(float) for path in built[:2])
    pixels = built[2][:1]
    there = Compiled(_read(built[1]), pixels.shape, 1).run(pixels).astype(float)
    assert np.abs(int8 - fp32).mean() < 1.5 and np.abs(int8 - fp32).max() > 0
    assert np.abs(there - int8[:1]).mean() < 0.1 * np.abs(int8 - fp32).mean() + 0.05
