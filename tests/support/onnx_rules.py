"""A graph held against what TensorRT takes, before a device is asked to compile it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx

_DATA = {"Where": 1}
"""Operator -> place of the input whose type counts, where it is not the first."""


@dataclass(frozen=True)
class _Scope:
    """What is known of a graph's tensors, with those of the graphs round it.

    Args:
        types: tensor -> name of its type.
        constants: tensors that are known when the engine is built.
        zeros: those of them that are zero all over.
        inputs, outputs: of the outermost graph.
    """

    types: dict[str, str]
    constants: frozenset[str]
    zeros: frozenset[str]
    inputs: frozenset[str]
    outputs: frozenset[str]


def unsupported(model: onnx.ModelProto) -> tuple[str, ...]:
    """What TensorRT would refuse of a graph.

    Args:
        model: a valid graph; its tensors' types are inferred here.

    Returns:
        A line for each fault: node, operator, type or attribute; what to do. None where all is well.
    """
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    graph = inferred.graph
    versions = [opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")]
    told = [
        f"the graph: opset {version}, TensorRT {RELEASES} reads {OPSETS[0]} to {OPSETS[-1]}; export with one of these"
        for version in versions
        if version not in OPSETS
    ]
    inputs, outputs = ({tensor.name for tensor in tensors} for tensors in (graph.input, graph.output))
    empty = _Scope({}, frozenset(), frozenset(), frozenset(inputs), frozenset(outputs))
    return (*told, *_graph(graph, empty))


def _graph(graph: onnx.GraphProto, outer: _Scope) -> Iterator[str]:
    """Faults of a graph and of those inside of its nodes."""
    described = [*graph.input, *graph.value_info, *graph.output]
    codes = {tensor.name: tensor.type.tensor_type.elem_type for tensor in described}
    codes |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    arrays = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            arrays[node.output[0]] = node.attribute[0].t
    scope = _Scope(
        outer.types | {name: onnx.TensorProto.DataType.Name(code) for name, code in codes.items()},
        outer.constants | arrays.keys(),
        outer.zeros | {name for name, tensor in arrays.items() if not np.any(onnx.numpy_helper.to_array(tensor))},
        outer.inputs,
        outer.outputs,
    )
    for node in graph.node:
        yield from (f"{node.name or node.output[0]}: {fault}" for fault in _node(node, scope))
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _graph(attribute.g, scope)


def _node(node: onnx.NodeProto, scope: _Scope) -> Iterator[str]:
    """Faults of a node, in words."""
    kind = node.op_type
    if node.domain not in ("", "ai.onnx") or kind not in OPERATORS:
        name = f"{node.domain}.{kind}" if node.domain else kind
        yield f"{name} is no operator of TensorRT {RELEASES}; write the layer with other operators"
        return
    yield from _data(node, scope)
    yield from _edges(node, scope)
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        value = value.decode() if isinstance(value, bytes) else value
        allowed = ATTRIBUTES.get(kind, {}).get(attribute.name, (value,))
        if value not in allowed:
            yield f"{kind} with {attribute.name} {value}; expected {' or '.join(map(str, allowed))}"
        if kind in DILATED and attribute.name == "dilations" and set(value) != {1}:
            yield f"{kind} with gaps (dilations {list(value)}); use dilations of 1"
    if kind in CONSTANT and not {*node.input[CONSTANT[kind] : CONSTANT[kind] + 1]} <= {*scope.constants, ""}:
        yield f"{kind} with axes or a depth that the graph computes; make them constant"
    if kind in FIRST_OUTPUT and any(node.output[1:]):
        yield f"{kind} with more than one output; use the first alone"


def _data(node: onnx.NodeProto, scope: _Scope) -> Iterator[str]:
    """Whether the operator takes the type of its data; a type that nobody knows was told of where it comes from."""
    for name in node.input[_DATA.get(node.op_type, 0) :][:1]:
        found, allowed = scope.types.get(name), OPERATORS[node.op_type]
        if found is not None and found not in allowed:
            remedy = "quantise weights and features to it, and no biases" if "Linear" in node.op_type else "cast first"
            yield f"{node.op_type} of {found}; it takes {', '.join(sorted(allowed))}: {remedy}"


def _edges(node: onnx.NodeProto, scope: _Scope) -> Iterator[str]:
    """Whether types that are allowed in few places stand there, and no type stands here that TensorRT lacks."""
    kind, takes = node.op_type, [scope.types.get(name) for name in node.input]
    for name in node.output:
        gives = scope.types.get(name, "")
        if kind == "QuantizeLinear":
            if gives != QUANTISED:
                yield f"{kind} to {gives}; quantise to {QUANTISED}"
        elif gives == PIXELS and (kind != "Cast" or name not in scope.outputs):
            yield f"{kind} gives {PIXELS}; only outputs of the graph may be it, by a Cast: keep FLOAT until there"
        elif gives == QUANTISED:
            yield f"{kind} gives {QUANTISED}; only QuantizeLinear does: quantise its input and dequantise at once"
        elif gives and gives not in VALUES | {PIXELS}:
            yield f"{kind} gives {gives}, which TensorRT {RELEASES} lacks; cast to FLOAT or INT64"
    if kind == "Cast" and PIXELS in (takes[0], gives) and not {takes[0], gives} & HALVES:
        yield f"Cast of {takes[0]} to {gives}; {PIXELS} becomes FLOAT or FLOAT16 first, and is made of one of these"
    if kind in ("QuantizeLinear", "DequantizeLinear") and any(node.input[2:3]) and node.input[2] not in scope.zeros:
        yield f"{kind} with a zero point that is not 0; quantise symmetrically"


RELEASES = "10.3 to 11"
"""Of TensorRT, for which this holds."""
OPSETS = range(9, 21)
"""Versions of ONNX's own operators that the oldest of them reads."""

HALVES = frozenset({"FLOAT", "FLOAT16"})
FLOATS = HALVES | {"BFLOAT16"}
NUMBERS = FLOATS | {"INT32", "INT64"}
VALUES = NUMBERS | {"BOOL"}

_ROWS: dict[frozenset[str], str] = {
    frozenset({"BOOL"}): "And Not Or Xor",
    frozenset({"INT8"}): "DequantizeLinear",
    HALVES: "DeformConv GridSample Mish NonMaxSuppression NonZero RoiAlign",
    FLOATS: """
        Acos Acosh Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Celu Clip Conv ConvTranspose Cos Cosh
        CumSum Dropout Einsum Elu Erf Exp Floor GRU Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool
        GroupNormalization HardSigmoid HardSwish Hardmax InstanceNormalization IsInf LRN LSTM LayerNormalization
        LeakyRelu Log LogSoftmax LpNormalization LpPool MatMul MaxPool MeanVarianceNormalization PRelu Pow
        QuantizeLinear RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Reciprocal Resize Round Scan
        Selu Sigmoid Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh ThresholdedRelu Upsample""",
    NUMBERS: """
        Abs Add ArgMax ArgMin DepthToSpace Div Equal Gelu Greater GreaterOrEqual IsNaN Less LessOrEqual Max Mean Min
        Mod Mul Neg Pad Range ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
        ReduceSum ReduceSumSquare Relu ScatterElements ScatterND Shrink Sign SpaceToDepth Sub Sum TopK""",
    VALUES: """
        Concat Constant ConstantOfShape Expand EyeLike Flatten Gather GatherElements GatherND Identity If Loop OneHot
        Reshape ReverseSequence Shape Size Slice Split Squeeze Tile Transpose Trilu Unsqueeze Where""",
    VALUES | {"UINT8"}: "Cast CastLike",
}
OPERATORS: dict[str, frozenset[str]] = {name: types for types, names in _ROWS.items() for name in names.split()}
"""Operator -> the types that its data may have. Its other inputs (indices, shapes, conditions) are as ONNX has them."""

CONSTANT: dict[str, int] = {
    **dict.fromkeys((name for name in OPERATORS if name.startswith("Reduce")), 1),
    **{"CumSum": 1, "OneHot": 1, "Pad": 3, "Slice": 3, "Squeeze": 1, "Unsqueeze": 1},
}
"""Operator -> place of the input that has to be constant when the engine is built: its axes, or a depth."""

ATTRIBUTES: dict[str, dict[str, tuple[object, ...]]] = {
    "LSTM": {"input_forget": (0,), "layout": (0,)},
    "Pad": {"mode": ("constant", "edge", "reflect", "wrap")},
    "Resize": {
        "mode": ("nearest", "linear"),
        "coordinate_transformation_mode": (
            *("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners"),
        ),
        "nearest_mode": ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"),
        "antialias": (0,),
        "keep_aspect_ratio_policy": ("stretch",),
    },
    "ScatterND": {"reduction": ("none",)},
    "TopK": {"sorted": (1,)},
}
"""Operator -> attribute -> the values that it may have, its absence aside."""

DILATED = frozenset({"AveragePool", "LpPool", "MaxPool"})
"""Pooling without gaps alone."""
FIRST_OUTPUT = frozenset({"LayerNormalization", "MaxPool"})
"""Operators of which nothing but the first output can be used."""

PIXELS = "UINT8"
"""The type of pixels: of the graph's inputs, which only Cast may read, and of its outputs, which only Cast may write;
in between it is FLOAT or FLOAT16. No other operator takes it, not even those that move data or ask for a shape."""
QUANTISED = "INT8"
"""The type that lies between QuantizeLinear, or a constant, and DequantizeLinear, and nowhere else."""
