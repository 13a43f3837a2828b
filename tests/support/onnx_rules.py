"""Static check of ONNX graphs against the operators, types and attributes that TensorRT supports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx

_DATA_INPUT = {"Where": 1}
"""Operator -> index of its data input, if not 0."""


@dataclass(frozen=True)
class _Scope:
    """Known properties of a graph's tensors, including those of the enclosing graphs.

    Args:
        types: tensor -> type name.
        constants: tensors that are constant at build time.
        zeros: constants whose elements are all 0.
        inputs, outputs: of the top-level graph.
    """

    types: dict[str, str]
    constants: frozenset[str]
    zeros: frozenset[str]
    inputs: frozenset[str]
    outputs: frozenset[str]


def unsupported(model: onnx.ModelProto) -> tuple[str, ...]:
    """Parts of a graph that TensorRT does not support.

    Args:
        model: a valid model; types are inferred.

    Returns:
        One line per fault with node, operator, type or attribute, and what to do; empty if there is none.
    """
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    graph = inferred.graph
    versions = [opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")]
    faults = [
        f"the graph: opset {version}, TensorRT {RELEASES} supports {OPSETS[0]} to {OPSETS[-1]}; use one of these"
        for version in versions
        if version not in OPSETS
    ]
    inputs, outputs = ({tensor.name for tensor in tensors} for tensors in (graph.input, graph.output))
    empty = _Scope({}, frozenset(), frozenset(), frozenset(inputs), frozenset(outputs))
    return (*faults, *_graph(graph, empty))


def _graph(graph: onnx.GraphProto, outer: _Scope) -> Iterator[str]:
    """Faults of a graph and its subgraphs."""
    tensors = [*graph.input, *graph.value_info, *graph.output]
    codes = {tensor.name: tensor.type.tensor_type.elem_type for tensor in tensors}
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
    """Faults of a node."""
    kind = node.op_type
    if node.domain not in ("", "ai.onnx") or kind not in OPERATORS:
        name = f"{node.domain}.{kind}" if node.domain else kind
        yield f"{name} is not supported by TensorRT {RELEASES}; use other operators"
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
            yield f"{kind} with dilations {list(value)}; use dilations of 1"
    if kind in CONSTANT and not {*node.input[CONSTANT[kind] : CONSTANT[kind] + 1]} <= {*scope.constants, ""}:
        yield f"{kind} with computed axes or depth; make them constant"
    if kind in FIRST_OUTPUT and any(node.output[1:]):
        yield f"{kind} with more than one output; use only the first"


def _data(node: onnx.NodeProto, scope: _Scope) -> Iterator[str]:
    """Check the type of an operator's data input; an unknown type is reported by the node that produces it."""
    for name in node.input[_DATA_INPUT.get(node.op_type, 0) :][:1]:
        kind, allowed = scope.types.get(name), OPERATORS[node.op_type]
        if kind is not None and kind not in allowed:
            remedy = "quantize weights and activations, not biases" if "Linear" in node.op_type else "cast first"
            yield f"{node.op_type} of {kind}; it supports {', '.join(sorted(allowed))}: {remedy}"


def _edges(node: onnx.NodeProto, scope: _Scope) -> Iterator[str]:
    """Check where UINT8 and INT8 occur, and that no output has a type that TensorRT does not support."""
    kind, input_types = node.op_type, [scope.types.get(name) for name in node.input]
    for name in node.output:
        output_type = scope.types.get(name, "")
        if kind == "QuantizeLinear":
            if output_type != QUANTIZED:
                yield f"{kind} to {output_type}; quantize to {QUANTIZED}"
        elif output_type == PIXELS and (kind != "Cast" or name not in scope.outputs):
            yield f"{kind} outputs {PIXELS}, which is allowed only for a Cast to a graph output; keep FLOAT until there"
        elif output_type == QUANTIZED:
            yield f"{kind} outputs {QUANTIZED}, which is allowed only for QuantizeLinear; insert a Q/DQ pair"
        elif output_type and output_type not in VALUES | {PIXELS}:
            yield f"{kind} outputs {output_type}, which TensorRT {RELEASES} does not support; cast to FLOAT or INT64"
    if kind == "Cast" and PIXELS in (input_types[0], output_type) and not {input_types[0], output_type} & HALVES:
        yield f"Cast of {input_types[0]} to {output_type}; {PIXELS} can be cast only from and to FLOAT or FLOAT16"
    if kind in ("QuantizeLinear", "DequantizeLinear") and any(node.input[2:3]) and node.input[2] not in scope.zeros:
        yield f"{kind} with a zero point that is not 0; quantize symmetrically"


RELEASES = "10.3 to 11"
"""TensorRT releases of these rules."""
OPSETS = range(9, 21)
"""ONNX opsets that the oldest of these releases supports."""

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
"""Operator -> types of its data input. Other inputs (indices, shapes, conditions) are as in ONNX."""

CONSTANT: dict[str, int] = {
    **dict.fromkeys((name for name in OPERATORS if name.startswith("Reduce")), 1),
    **{"CumSum": 1, "OneHot": 1, "Pad": 3, "Slice": 3, "Squeeze": 1, "Unsqueeze": 1},
}
"""Operator -> index of the input (axes or depth) that must be constant at build time."""

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
"""Operator -> attribute -> supported values, if the attribute is present."""

DILATED = frozenset({"AveragePool", "LpPool", "MaxPool"})
"""Pooling operators that support only dilations of 1."""
FIRST_OUTPUT = frozenset({"LayerNormalization", "MaxPool"})
"""Operators whose first output only is supported."""

PIXELS = "UINT8"
"""Type of graph inputs and outputs that hold pixels. Only Cast reads and writes it, from and to FLOAT or FLOAT16; no
other operator supports it, not even those that move data or read a shape."""
QUANTIZED = "INT8"
"""Type between QuantizeLinear, or a constant, and DequantizeLinear, and nowhere else."""
