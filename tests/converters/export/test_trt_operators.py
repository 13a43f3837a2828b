"""Operators that TensorRT supports: the zoo's graphs have no others, and each unsupported one is reported."""

import numpy as np
import onnx
import pytest
from facesr_edge.converters.export.onnx import cast_first
from facesr_edge.converters.export.storage import load_graph
from facesr_edge.converters.quantization.qdq import insert_qdq
from facesr_edge.zoo import catalogue
from onnx import TensorProto, helper, numpy_helper
from support.onnx_rules import unsupported

FLOAT, HALF, UINT8, INT8, INT64 = (
    getattr(TensorProto, name) for name in ("FLOAT", "FLOAT16", "UINT8", "INT8", "INT64")
)


@pytest.mark.parametrize("name", catalogue.built())
def test_zoo_models_have_operators_of_tensorrt_in_fp32_and_int8(name):
    path = catalogue.FOLDER / name / "model.onnx"
    assert unsupported(onnx.load(path)) == ()
    model = cast_first(load_graph(path))
    convolutions = [node.name for node in model.graph.node if is_quantized(node)]
    quantized = insert_qdq(model, convolutions, all_ranges(model))
    pairs = {node.output[0] for node in quantized.graph.node if node.op_type == "DequantizeLinear"}
    assert all({*node.input[:2]} <= pairs for node in quantized.graph.node if is_quantized(node))
    assert unsupported(quantized) == ()


def is_quantized(node):
    """Convolutions, but not that of the samples of several frames, which INT8 builds leave as it is."""
    return node.op_type == "Conv" and node.input[0] != "samples"


def all_ranges(model):
    """A range for every tensor; the values do not matter for the operators' types."""
    return {name: (-1.0, 1.0) for node in model.graph.node for name in node.output}


def model_of(nodes, inputs, outputs, constants=(), opset=18):
    """A model of nodes, its inputs and outputs (name -> (type, shape)) and constants (name -> array)."""
    inputs, outputs = (
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in tensors.items()]
        for tensors in (inputs, outputs)
    )
    tensors = [numpy_helper.from_array(array, name) for name, array in dict(constants).items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def single_node(kind, element=FLOAT, shape=(1, 3, 8, 8), out=None, more=(), constants=(), opset=18, **attributes):
    """A model of one node, "node", with input "x" and output "y"."""
    outputs = ["", "y"] if kind == "TopK" else ["y"]
    node = helper.make_node(kind, ["x", *more], outputs, "node", **attributes)
    return model_of([node], {"x": (element, shape)}, {"y": (out or element, None)}, constants, opset)


AXES = {"axes": np.array([1])}
SCALES = {"scales": np.array([1, 1, 2, 2], np.float32)}
RESIZE = {"more": ("", "scales"), "constants": SCALES}


@pytest.mark.parametrize(
    "model",
    [
        single_node("Relu", HALF),
        single_node("Cast", UINT8, out=FLOAT, to=FLOAT),
        single_node("Cast", HALF, out=UINT8, to=UINT8),
        single_node(
            "Resize", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor", **RESIZE
        ),
        single_node("ReduceSum", more=("axes",), constants=AXES),
        single_node("Pad", more=("pads",), constants={"pads": np.zeros(8, np.int64)}, mode="edge"),
        single_node("MaxPool", kernel_shape=[2, 2]),
        single_node("Shape", out=INT64),
    ],
    ids=lambda model: model.graph.node[0].op_type,
)
def test_supported_operators_are_accepted(model):
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)  # the graph itself is valid
    assert unsupported(model) == ()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (single_node("Det", shape=(1, 3, 3)), "node: Det is not supported by TensorRT"),
        (single_node("Transpose", UINT8, perm=[0, 2, 3, 1]), "node: Transpose of UINT8; it supports "),
        (
            single_node("Transpose", UINT8, perm=[0, 2, 3, 1]),
            "node: Transpose outputs UINT8, which is allowed only for a Cast",
        ),
        (single_node("Shape", UINT8, out=INT64), "node: Shape of UINT8"),
        (single_node("Cast", UINT8, out=INT64, to=INT64), "node: Cast of UINT8 to INT64"),
        (single_node("Cast", INT64, out=UINT8, to=UINT8), "node: Cast of INT64 to UINT8"),
        (single_node("Relu", TensorProto.DOUBLE), "node: Relu outputs DOUBLE"),
        (single_node("Sigmoid", TensorProto.DOUBLE), "node: Sigmoid of DOUBLE"),
        (single_node("Relu", INT8), "node: Relu of INT8"),
        (
            single_node("Cast", FLOAT, out=INT8, to=INT8),
            "node: Cast outputs INT8, which is allowed only for QuantizeLinear",
        ),
        (single_node("Softmax", INT64), "node: Softmax of INT64"),
        (single_node("Resize", mode="cubic", **RESIZE), "node: Resize with mode cubic; expected nearest or linear"),
        (single_node("Resize", mode="linear", antialias=1, **RESIZE), "node: Resize with antialias 1"),
        (
            single_node("TopK", out=INT64, more=("k",), constants={"k": np.array([2])}, sorted=0),
            "node: TopK with sorted 0",
        ),
        (single_node("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]), "node: MaxPool with dilations"),
        (single_node("Relu", opset=21), "the graph: opset 21"),
    ],
    ids=lambda value: value.split(";")[0] if isinstance(value, str) else "",
)
def test_unsupported_operators_are_reported(model, message):
    lines = unsupported(model)
    assert any(line.startswith(message) for line in lines), lines
    assert all("\n" not in line and ";" in line for line in lines)


def test_axes_that_the_graph_computes_are_reported():
    nodes = [helper.make_node("ReduceSum", ["x", "where"], ["y"], "sum")]
    model = model_of(nodes, {"x": (FLOAT, [2, 2]), "where": (INT64, [1])}, {"y": (FLOAT, None)})
    assert unsupported(model) == ("sum: ReduceSum with computed axes or depth; make them constant",)


def test_uint8_tensor_inside_the_graph_is_reported():
    nodes = [
        helper.make_node("Cast", ["x"], ["bytes"], "down", to=UINT8),
        helper.make_node("Cast", ["bytes"], ["y"], "up", to=FLOAT),
    ]
    (line,) = unsupported(model_of(nodes, {"x": (FLOAT, [2])}, {"y": (FLOAT, None)}))
    assert line.startswith("down: Cast outputs UINT8, which is allowed only for a Cast")


def with_qdq_pair(kind, zero):
    """A Q/DQ pair before a Relu, with a zero point of a type."""
    constants = {"scale": np.array(0.1, np.float32), "zero": np.array(zero, kind)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], "dequantize"),
        helper.make_node("Relu", ["d"], ["y"], "relu"),
    ]
    return model_of(nodes, {"x": (FLOAT, [4])}, {"y": (FLOAT, None)}, constants)


def test_only_symmetric_int8_is_accepted():
    assert unsupported(with_qdq_pair(np.int8, 0)) == ()
    shifted = unsupported(with_qdq_pair(np.int8, 3))
    assert [line.split(" with ")[0] for line in shifted] == ["quantize: QuantizeLinear", "dequantize: DequantizeLinear"]
    unsigned = unsupported(with_qdq_pair(np.uint8, 0))
    assert unsigned[0] == "quantize: QuantizeLinear to UINT8; quantize to INT8"
    assert unsigned[1].startswith("dequantize: DequantizeLinear of UINT8; it supports INT8")


def test_quantized_bias_is_reported():
    constants = {"q": np.zeros(4, np.int32), "scale": np.array(0.1, np.float32)}
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale"], ["bias"], "bias"),
        helper.make_node("Add", ["x", "bias"], ["y"], "add"),
    ]
    (line,) = unsupported(model_of(nodes, {"x": (FLOAT, [4])}, {"y": (FLOAT, None)}, constants))
    assert line.startswith("bias: DequantizeLinear of INT32") and "not biases" in line


def test_subgraphs_of_a_node_are_checked():
    branch = helper.make_graph(
        [helper.make_node("Det", ["x"], ["then"], "inner")],
        "then",
        [],
        [helper.make_tensor_value_info("then", FLOAT, [])],
    )
    other = helper.make_graph(
        [helper.make_node("ReduceSum", ["x"], ["else"], "sum", keepdims=0)],
        "else",
        [],
        [helper.make_tensor_value_info("else", FLOAT, [])],
    )
    node = helper.make_node("If", ["which"], ["y"], "if", then_branch=branch, else_branch=other)
    model = model_of([node], {"x": (FLOAT, [3, 3]), "which": (TensorProto.BOOL, [])}, {"y": (FLOAT, None)})
    (line,) = unsupported(model)
    assert line.startswith("inner: Det is not supported")


def test_operator_of_another_domain_is_reported_with_its_domain():
    model = single_node("Relu")
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    assert unsupported(model)[0].startswith("node: com.example.Relu is not supported")
