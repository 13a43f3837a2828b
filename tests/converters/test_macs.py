"""Parameters and MACs, compared with a count by hand."""

import numpy as np
import pytest
from facesr_edge.converters.macs import complexity, node_macs
from onnx import TensorProto, helper, numpy_helper


def model_of(nodes, shape, constants=()):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    initializers = [numpy_helper.from_array(np.ones(size, np.float32), name) for name, size in constants]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def total(model, batch):
    return sum(node_macs(model, batch).values())


@pytest.mark.parametrize(
    ("kind", "options", "shape", "weights", "expected"),
    [
        ("Conv", {"pads": [1, 1, 1, 1]}, (1, 4, 10, 12), (8, 4, 3, 3), 10 * 12 * 8 * 4 * 9),
        ("Conv", {"strides": [2, 2]}, (2, 4, 11, 11), (8, 4, 3, 3), 2 * 5 * 5 * 8 * 4 * 9),
        ("Conv", {"group": 4}, (1, 4, 9, 9), (4, 1, 3, 3), 7 * 7 * 4 * 9),
        ("ConvTranspose", {"strides": [2, 2]}, (1, 4, 5, 6), (4, 8, 2, 2), 5 * 6 * 4 * 8 * 4),
        ("MatMul", {}, (2, 3, 5, 7), (7, 11), 2 * 3 * 5 * 7 * 11),
        ("Gemm", {}, (5, 7), (7, 11), 5 * 7 * 11),
        ("Gemm", {"transA": 1, "transB": 1}, (7, 5), (11, 7), 5 * 7 * 11),
    ],
)
def test_macs_of_a_layer(kind, options, shape, weights, expected):
    node = helper.make_node(kind, ["x", "w"], ["y"], **options)
    model = model_of([node], shape, [("w", weights)])
    assert total(model, np.zeros(shape, np.float32)) == expected


def test_products_of_two_activations_count_and_additions_do_not():
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "t"], ["m"]),
        helper.make_node("Add", ["m", "m"], ["y"]),
    ]
    model = model_of(nodes, (1, 6, 9))
    assert total(model, np.zeros((1, 6, 9), np.float32)) == 6 * 6 * 9


def test_complexity_counts_all_weights_and_more_than_the_convolutions(tiny_bundle):
    c, side = 8, 32
    convolutions = [(3, c, 1), (c, c, 1), (2 * c, c, 1), (c, 4 * c, 1), (c, 4 * c, 4), (c, 3, 16)]
    result = complexity(tiny_bundle())
    assert result.parameters == sum(9 * a * b + b for a, b, _ in convolutions)
    conv_macs = sum(9 * a * b * area for a, b, area in convolutions) * side * side
    assert conv_macs < result.macs < 1.8 * conv_macs and result.gmacs == result.macs / 1e9


def test_quantization_does_not_change_macs(tiny_bundle):
    fp32, int8 = complexity(tiny_bundle()), complexity(tiny_bundle(4, "int8"))
    assert int8.parameters == fp32.parameters
    assert int8.macs == pytest.approx(fp32.macs, rel=0.01)
