"""What TensorRT takes: the networks as they are built hold to it, and each way of breaking it is told."""

import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.converters.export.convert import export_target
from facesr_edge.converters.export.onnx import cast_first, simplified
from facesr_edge.converters.quantization.qdq import insert_qdq
from facesr_edge.engines.bundle.io_spec import IOSpec, super_resolution
from facesr_edge.networks import NETWORKS, build_network
from facesr_edge.zoo import catalogue
from onnx import TensorProto, helper, numpy_helper
from support.onnx_rules import unsupported

SMALL = {
    "crl": {"depth": 2, "width": 8, "scale": 4},
    "detector": {"width": 8},
    "idrn": {"depth": 2, "width": 8, "scale": 4, "bicubic_skip": True},
    "mffcn": {"width": 8, "scale": 4},
    "msrnet": {"width": 4, "growth": 1, "match_width": 4, "trunk": 1, "scale": 8, "side": 16},
    "sisn": {"groups": 1, "blocks": 1, "width": 8, "scale": 8},
    "srresnet": {"depth": 2, "width": 8, "scale": 3},
    "vdsr": {"depth": 3, "width": 8, "scale": 2},
}
"""Configurations that are quick to trace; their operators are those of the large ones."""
FLOAT, HALF, UINT8, INT8, INT64 = (
    getattr(TensorProto, name) for name in ("FLOAT", "FLOAT16", "UINT8", "INT8", "INT64")
)


def contract_of(network, config):
    if network == "detector":
        return IOSpec("face-detection", multiple=32)
    if network == "msrnet":
        return super_resolution(config["scale"], (config["side"],), references=5)
    return super_resolution(config.get("scale", 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])
@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_every_network_as_it_is_built_is_made_of_what_tensorrt_takes(network, dtype):
    config = SMALL.get(network, {})
    what = export_target(build_network(network, config).eval(), contract_of(network, config), sample_faces())
    model = simplified(what.traced(dtype))
    assert unsupported(model) == ()


@pytest.mark.parametrize("name", catalogue.names())
def test_every_model_that_ships_is_made_of_what_tensorrt_takes(name):
    assert unsupported(onnx.load(catalogue.FOLDER / name / "model.onnx")) == ()


@pytest.mark.parametrize("name", catalogue.names())
def test_int8_as_tensorrt_takes_it_is_made_of_what_tensorrt_takes(name):
    model = cast_first(onnx.load(catalogue.FOLDER / name / "model.onnx"))
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    quantised = insert_qdq(model, convolutions, all_ranges(model))
    pairs = {node.output[0] for node in quantised.graph.node if node.op_type == "DequantizeLinear"}
    assert all({*node.input[:2]} <= pairs for node in quantised.graph.node if node.op_type == "Conv")
    assert unsupported(quantised) == ()


def all_ranges(model):
    """A range for every tensor that a node makes; which one does not matter to the types."""
    return {name: (-1.0, 1.0) for node in model.graph.node for name in node.output}


def model_of(nodes, taken, given, constants=(), opset=18):
    """A model from nodes, its inputs and outputs (name -> (type, shape)), and constants (name -> array)."""
    inputs, outputs = (
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in side.items()]
        for side in (taken, given)
    )
    tensors = [numpy_helper.from_array(array, name) for name, array in dict(constants).items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def one(kind, element=FLOAT, shape=(1, 3, 8, 8), out=None, more=(), constants=(), opset=18, **attributes):
    """A model of one node, "node", from "x" to "y"."""
    outputs = ["", "y"] if kind == "TopK" else ["y"]
    node = helper.make_node(kind, ["x", *more], outputs, "node", **attributes)
    return model_of([node], {"x": (element, shape)}, {"y": (out or element, None)}, constants, opset)


AXES = {"axes": np.array([1])}
SCALES = {"scales": np.array([1, 1, 2, 2], np.float32)}
RESIZE = {"more": ("", "scales"), "constants": SCALES}


@pytest.mark.parametrize(
    "model",
    [
        one("Relu", HALF),
        one("Cast", UINT8, out=FLOAT, to=FLOAT),
        one("Cast", HALF, out=UINT8, to=UINT8),
        one("Resize", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor", **RESIZE),
        one("ReduceSum", more=("axes",), constants=AXES),
        one("Pad", more=("pads",), constants={"pads": np.zeros(8, np.int64)}, mode="edge"),
        one("MaxPool", kernel_shape=[2, 2]),
        one("Shape", out=INT64),
    ],
    ids=lambda model: model.graph.node[0].op_type,
)
def test_what_tensorrt_takes_is_let_through(model):
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)  # a valid graph, for a start
    assert unsupported(model) == ()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (one("Det", shape=(1, 3, 3)), "node: Det is no operator of TensorRT"),
        (one("Transpose", UINT8, perm=[0, 2, 3, 1]), "node: Transpose of UINT8; it takes "),
        (
            one("Transpose", UINT8, perm=[0, 2, 3, 1]),
            "node: Transpose gives UINT8; only outputs of the graph",
        ),
        (one("Shape", UINT8, out=INT64), "node: Shape of UINT8"),
        (one("Cast", UINT8, out=INT64, to=INT64), "node: Cast of UINT8 to INT64"),
        (one("Cast", INT64, out=UINT8, to=UINT8), "node: Cast of INT64 to UINT8"),
        (one("Relu", TensorProto.DOUBLE), "node: Relu gives DOUBLE"),
        (one("Sigmoid", TensorProto.DOUBLE), "node: Sigmoid of DOUBLE"),
        (one("Relu", INT8), "node: Relu of INT8"),
        (one("Cast", FLOAT, out=INT8, to=INT8), "node: Cast gives INT8; only QuantizeLinear does"),
        (one("Softmax", INT64), "node: Softmax of INT64"),
        (one("Resize", mode="cubic", **RESIZE), "node: Resize with mode cubic; expected nearest or linear"),
        (one("Resize", mode="linear", antialias=1, **RESIZE), "node: Resize with antialias 1"),
        (one("TopK", out=INT64, more=("k",), constants={"k": np.array([2])}, sorted=0), "node: TopK with sorted 0"),
        (one("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]), "node: MaxPool with gaps"),
        (one("Relu", opset=21), "the graph: opset 21"),
    ],
    ids=lambda value: value.split(";")[0] if isinstance(value, str) else "",
)
def test_what_tensorrt_refuses_is_told(model, said):
    lines = unsupported(model)
    assert any(line.startswith(said) for line in lines), lines
    assert all("\n" not in line and ";" in line for line in lines)


def test_axes_that_the_graph_computes_are_told():
    nodes = [helper.make_node("ReduceSum", ["x", "where"], ["y"], "sum")]
    model = model_of(nodes, {"x": (FLOAT, [2, 2]), "where": (INT64, [1])}, {"y": (FLOAT, None)})
    assert unsupported(model) == ("sum: ReduceSum with axes or a depth that the graph computes; make them constant",)


def test_a_uint8_that_is_made_and_read_within_is_told():
    nodes = [
        helper.make_node("Cast", ["x"], ["bytes"], "down", to=UINT8),
        helper.make_node("Cast", ["bytes"], ["y"], "up", to=FLOAT),
    ]
    (line,) = unsupported(model_of(nodes, {"x": (FLOAT, [2])}, {"y": (FLOAT, None)}))
    assert line.startswith("down: Cast gives UINT8; only outputs of the graph may be it")


def quantised(kind, zero):
    """Q and DQ round a Relu, with a zero point of a type."""
    constants = {"scale": np.array(0.1, np.float32), "zero": np.array(zero, kind)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "quantise"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], "dequantise"),
        helper.make_node("Relu", ["d"], ["y"], "relu"),
    ]
    return model_of(nodes, {"x": (FLOAT, [4])}, {"y": (FLOAT, None)}, constants)


def test_symmetric_int8_is_let_through_and_no_other():
    assert unsupported(quantised(np.int8, 0)) == ()
    shifted = unsupported(quantised(np.int8, 3))
    assert [line.split(" with ")[0] for line in shifted] == ["quantise: QuantizeLinear", "dequantise: DequantizeLinear"]
    unsigned = unsupported(quantised(np.uint8, 0))
    assert unsigned[0] == "quantise: QuantizeLinear to UINT8; quantise to INT8"
    assert unsigned[1].startswith("dequantise: DequantizeLinear of UINT8; it takes INT8")


def test_a_quantised_bias_is_told():
    constants = {"q": np.zeros(4, np.int32), "scale": np.array(0.1, np.float32)}
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale"], ["bias"], "bias"),
        helper.make_node("Add", ["x", "bias"], ["y"], "add"),
    ]
    (line,) = unsupported(model_of(nodes, {"x": (FLOAT, [4])}, {"y": (FLOAT, None)}, constants))
    assert line.startswith("bias: DequantizeLinear of INT32") and "no biases" in line


def test_a_graph_within_a_node_is_looked_into():
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
    assert line.startswith("inner: Det is no operator")


def test_an_operator_of_another_domain_is_told_with_it():
    model = one("Relu")
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    assert unsupported(model)[0].startswith("node: com.example.Relu is no operator")
