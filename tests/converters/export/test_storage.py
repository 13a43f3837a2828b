"""Storage of weights in FP16: half the file, the same output to the bit."""

import numpy as np
import onnx
import onnxruntime
import pytest
from facesr_edge.converters.export.storage import SUFFIX, compress_initializers, expand_initializers
from onnx import TensorProto, helper, numpy_helper


def convolution(weights):
    """A graph of one 3×3 convolution of (N, 2, H, W) with these weights, (8, 2, 3, 3) FP32."""
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 16, 16])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 16, 16])
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(weights, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.fixture
def weights():
    return np.random.default_rng(0).normal(size=(8, 2, 3, 3)).astype(np.float16).astype(np.float32)


def output(model):
    x = np.random.default_rng(1).random((1, 2, 16, 16), np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def test_compressed_graph_is_valid_smaller_and_equal_to_the_bit(weights):
    model = convolution(weights)
    expected, size = output(model), model.ByteSize()
    compressed = compress_initializers(model)
    onnx.checker.check_model(compressed, full_check=True)
    assert compressed.ByteSize() < 0.9 * size
    assert np.array_equal(output(compressed), expected)


def test_expanding_restores_the_graph_to_the_byte(weights):
    before = convolution(weights).SerializeToString()
    compressed = compress_initializers(onnx.ModelProto.FromString(before))
    assert expand_initializers(compressed).SerializeToString() == before


@pytest.mark.parametrize("value", [1e-9, 1e6, 1 / 3])
def test_initializer_that_fp16_does_not_hold_exactly_is_left_alone(weights, value):
    weights[0, 0, 0, 0] = value
    model = compress_initializers(convolution(weights))
    assert [tensor.name for tensor in model.graph.initializer] == ["w"]


def test_small_initializers_and_other_types_are_left_alone():
    small = np.ones((8, 2, 1, 1), np.float32)
    model = convolution(small)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1000, np.int64), "i"))
    assert not any(tensor.name.endswith(SUFFIX) for tensor in compress_initializers(model).graph.initializer)
