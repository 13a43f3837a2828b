"""QuantizeLinear/DequantizeLinear (Q/DQ) graphs for TensorRT, and floating-point outputs of INT8 convolutions for CPUs.

For TensorRT, quantization is symmetric: every zero point is 0, activations have one scale per tensor, weights one per
output channel. Only the inputs of convolutions are quantized, never their outputs, so that TensorRT can fuse a ReLU or
an addition into the convolution; the other operand of such an addition is quantized too. All inputs of a Concat share
one scale, so that it runs in INT8. Weights stay floating-point before their Q/DQ pair; biases and all other nodes keep
the type of the graph.

Source: NVIDIA TensorRT documentation, "Explicit Quantization"; onnx-tensorrt 10.0 to 11, import of QuantizeLinear.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ...engines.errors import BuildError

OPSET = 19
"""The first with FP16 scales of Q/DQ; TensorRT reads 9 to 20 from 10.0 on."""
MAX_INT8 = 127
"""Largest quantized value; -128 is not used, so that the range is symmetric."""
QDQ = ("QuantizeLinear", "DequantizeLinear")


def insert_qdq(
    model: onnx.ModelProto, convolutions: Collection[str], ranges: Mapping[str, tuple[float, float]]
) -> onnx.ModelProto:
    """Quantize convolutions of a graph by Q/DQ pairs.

    Args:
        model: simplified graph, its network in FP32 or FP16.
        convolutions: names of the convolutions to quantize, at least one.
        ranges: tensor -> minimum and maximum.

    Returns:
        A new graph, of opset 19 or later.
    """
    new = onnx.ModelProto()
    new.CopyFrom(model)
    for opset in new.opset_import:
        opset.version = max(opset.version, OPSET) if opset.domain == "" else opset.version
    graph = new.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    quantized = [node for node in graph.node if node.op_type == "Conv" and node.name in convolutions]
    amax = activation_amax(new, quantized, ranges)
    dtype = numpy_helper.to_array(weights[quantized[0].input[1]]).dtype
    nodes: list[onnx.NodeProto] = []
    for name in sorted({node.input[1] for node in quantized}):
        values = numpy_helper.to_array(weights[name]).astype(np.float64)
        nodes += _qdq_pair(graph, name, _scale(np.abs(values).reshape(len(values), -1).max(1), dtype), axis=0)
    for node in list(graph.node):
        for index, name in enumerate(node.input):
            if name in amax or (index == 1 and node.op_type == "Conv" and node.name in convolutions):
                node.input[index] = f"{name}.dequantized"
        nodes.append(node)
        for name in node.output:
            if name in amax:
                nodes += _qdq_pair(graph, name, _scale(np.array(amax[name]), dtype))
    return with_nodes(new, nodes)


def activation_amax(
    model: onnx.ModelProto, quantized: list[onnx.NodeProto], ranges: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """Activations to quantize -> amax, the absolute value that maps to 127; the same for all that a Concat joins.

    Args:
        model, quantized: the graph, and its convolutions to quantize.
        ranges: tensor -> minimum and maximum.
    """
    initializers = {tensor.name for tensor in model.graph.initializer}
    outputs = {node.output[0] for node in quantized}
    groups: dict[str, set[str]] = {node.input[0]: {node.input[0]} for node in quantized}
    for node in model.graph.node:
        if node.op_type == "Add" and outputs & {*node.input}:
            for name in {*node.input} - outputs - initializers:
                groups.setdefault(name, {name})
    for node in reversed(model.graph.node):
        if node.op_type == "Concat" and node.output[0] in groups:
            joined = groups[node.output[0]].union(*(groups.get(name, {name}) for name in node.input))
            groups.update(dict.fromkeys(joined, joined))
    return {name: max(abs(end) for member in group for end in ranges[member]) for name, group in groups.items()}


def transfer_ranges(
    ranges: Mapping[str, tuple[float, float]], source: onnx.ModelProto, target: onnx.ModelProto, kinds: Collection[str]
) -> dict[str, tuple[float, float]]:
    """Transfer ranges to a graph of the same network in another precision; nodes correspond by their order.

    Args:
        ranges: tensor of `source` -> minimum and maximum.
        source, target: graph in which they were measured, and graph to transfer them to.
        kinds: operators whose inputs and outputs are transferred.

    Raises:
        BuildError: the graphs have different structure.
    """
    graphs = [[node for node in model.graph.node if node.op_type in kinds] for model in (source, target)]
    signatures, new_signatures = ([_signature(node) for node in nodes] for nodes in graphs)
    if signatures != new_signatures:
        raise BuildError("the FP32 and FP16 graphs of the network have different structure; build with --fp16")
    names, new_names = ([name for node in nodes for name in (*node.input, *node.output)] for nodes in graphs)
    return {new_name: ranges[name] for name, new_name in zip(names, new_names, strict=True) if name in ranges}


def _signature(node: onnx.NodeProto) -> tuple[Any, ...]:
    return (node.op_type, len(node.input), *(a.SerializeToString(deterministic=True) for a in node.attribute))


def _scale(amax: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Scales that map amax to 127, rounded up, as FP16 is coarse for small values. TensorRT rejects a scale of 0."""
    exact = np.where(amax > 0, amax / MAX_INT8, 1.0)
    scale = exact.astype(dtype)
    return np.asarray(np.where(scale < exact, np.nextafter(scale, dtype.type(np.inf)), scale), dtype)


def _qdq_pair(graph: onnx.GraphProto, name: str, scale: NDArray[Any], **axis: Any) -> list[onnx.NodeProto]:
    parts = ("scale", "zero_point", "quantized", "dequantized")
    step, zero, quantized, dequantized = (f"{name}.{part}" for part in parts)
    graph.initializer.append(numpy_helper.from_array(scale, step))
    graph.initializer.append(numpy_helper.from_array(np.zeros(scale.shape, np.int8), zero))
    return [
        helper.make_node(QDQ[0], [name, step, zero], [quantized], name=f"{name}.quantize", **axis),
        helper.make_node(QDQ[1], [quantized, step, zero], [dequantized], name=f"{name}.dequantize", **axis),
    ]


def with_nodes(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> onnx.ModelProto:
    """Replace the nodes of a model, in place, and check it."""
    graph = onnx.GraphProto()
    graph.node.extend(nodes)
    del model.graph.node[:]
    model.graph.node.extend(graph.node)
    onnx.checker.check_model(model, full_check=True)
    return model


def with_float_output(
    quantized: onnx.ModelProto, source: onnx.ModelProto, convolutions: Collection[str]
) -> onnx.ModelProto:
    """Remove the output quantization of INT8 convolutions: one scale for the whole output would be too coarse.

    The DequantizeLinear of their weights becomes the equivalent Cast and Mul. ONNX Runtime has no INT8 kernel with
    floating-point output and folds these into FP32 weights at load time instead of dequantizing in every call; OpenVINO
    has such a kernel and recognizes both forms. One face of edge-tiny takes 0.82 of the time in OpenVINO that it takes
    with its last convolution in FP32, and 0.97 in ONNX Runtime.

    Args:
        quantized, source: graph written by `quantize_static`, and the one that was quantized.
        convolutions: names of nodes in both.

    Raises:
        BuildError: a convolution is not followed by a Q/DQ pair.
    """
    new = onnx.ModelProto()
    new.CopyFrom(quantized)
    graph = new.graph
    source_nodes = {node.name: node for node in source.graph.node}
    producers = {name: node for node in graph.node for name in node.output}
    dequantized: dict[str, list[onnx.NodeProto]] = {}  # weights -> Cast and Mul
    renamed: dict[str, str] = {}  # output of the Q/DQ pair -> output of the convolution
    nodes = [node for node in graph.node if node.name in convolutions]
    for node in nodes:
        weights = producers[node.input[1]]
        if weights.name not in dequantized:
            dequantized[weights.name] = _cast_and_mul(graph, weights)
        node.input[1] = dequantized[weights.name][-1].output[0]
        del node.input[2:]
        node.input.extend(f"{name}.float" for name in source_nodes[node.name].input[2:])
        renamed[_output_dequantize(graph, node).output[0]] = node.output[0]
    biases = {name for node in nodes for name in node.input[2:]}
    for tensor in source.graph.initializer:
        if f"{tensor.name}.float" in biases:
            graph.initializer.append(tensor)
            graph.initializer[-1].name += ".float"
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    return _remove_unused(new, [*(node for pair in dequantized.values() for node in pair), *graph.node])


def _cast_and_mul(graph: onnx.GraphProto, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The DequantizeLinear of symmetric weights as a Cast and a Mul."""
    values, scale = node.input[:2]
    (scales,) = (numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name == scale)
    graph.initializer.append(numpy_helper.from_array(scales.reshape(-1, 1, 1, 1), f"{scale}.column"))
    cast = helper.make_node("Cast", [values], [f"{values}.cast"], name=f"{values}.cast", to=TensorProto.FLOAT)
    product = f"{values}.times"
    return [cast, helper.make_node("Mul", [cast.output[0], f"{scale}.column"], [product], name=product)]


def _output_dequantize(graph: onnx.GraphProto, node: onnx.NodeProto) -> onnx.NodeProto:
    """The DequantizeLinear of the Q/DQ pair after a node."""
    last = node
    for kind in QDQ:
        consumers = [consumer for consumer in graph.node if last.output[0] in consumer.input]
        if [consumer.op_type for consumer in consumers] != [kind]:
            raise BuildError(f"{node.name} is not followed by {' and '.join(QDQ)}; build with --fp16 or --fp32")
        (last,) = consumers
    return last


def _remove_unused(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    """The model with those of the nodes and initializers that its outputs depend on."""
    required = {output.name for output in model.graph.output}
    used = []
    for node in reversed(nodes):
        if required & {*node.output}:
            used.append(node)
            required |= {*node.input}
    graph = onnx.GraphProto()
    graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in required)
    del model.graph.initializer[:]
    model.graph.initializer.extend(graph.initializer)
    return with_nodes(model, used[::-1])
