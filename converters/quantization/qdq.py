"""A graph with pairs of QuantizeLinear and DequantizeLinear, as TensorRT takes them.

Symmetric, every zero point 0; activations with one scale a tensor, weights with one for each output channel. Only the
inputs of convolutions are quantised and never their outputs, so that a ReLU or a sum after a convolution stays part of
it; the other input of such a sum is quantised too, and all that a Concat joins has one scale, so that it is joined as
bytes. Weights keep their float values before their pair; biases, and whatever is not INT8, keep the type of the graph.
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
"""The first whose pairs have scales in FP16; TensorRT reads 9 to 20 from 10.0 on."""
MOST = 127
"""Largest 8-bit value; -128 is not used, so that the range is symmetric."""
PAIR = ("QuantizeLinear", "DequantizeLinear")


def insert_qdq(
    model: onnx.ModelProto, convolutions: Collection[str], ranges: Mapping[str, tuple[float, float]]
) -> onnx.ModelProto:
    """Quantise some convolutions of a graph.

    Args:
        model: simplified graph, its network in FP32 or FP16.
        convolutions: names of those that become INT8, at least one.
        ranges: tensor -> its lower and upper end.

    Returns:
        A new graph, of opset 19 or later.
    """
    new = onnx.ModelProto()
    new.CopyFrom(model)
    for opset in new.opset_import:
        opset.version = max(opset.version, OPSET) if opset.domain == "" else opset.version
    graph = new.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    low = [node for node in graph.node if node.op_type == "Conv" and node.name in convolutions]
    peaks = shared_peaks(new, low, ranges)
    dtype = numpy_helper.to_array(weights[low[0].input[1]]).dtype
    kernels = {node.input[1] for node in low}
    nodes: list[onnx.NodeProto] = []
    for name in sorted(kernels):
        values = numpy_helper.to_array(weights[name]).astype(np.float64)
        nodes += _pair(graph, name, _scale(np.abs(values).reshape(len(values), -1).max(1), dtype), axis=0)
    for node in list(graph.node):
        for place, name in enumerate(node.input):
            if name in peaks or (place == 1 and node.op_type == "Conv" and node.name in convolutions):
                node.input[place] = f"{name}.dequantised"
        nodes.append(node)
        for name in node.output:
            if name in peaks:
                nodes += _pair(graph, name, _scale(np.array(peaks[name]), dtype))
    return with_nodes(new, nodes)


def shared_peaks(
    model: onnx.ModelProto, low: list[onnx.NodeProto], ranges: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """Which activations are quantised.

    Args:
        model: the graph.
        low: its convolutions that become INT8.
        ranges: tensor -> its lower and upper end.

    Returns:
        Tensor -> the largest value, sign apart, that its 8 bits reach; the same for all that a Concat joins.
    """
    given = {tensor.name for tensor in model.graph.initializer}
    made = {node.output[0] for node in low}
    groups: dict[str, set[str]] = {node.input[0]: {node.input[0]} for node in low}
    for node in model.graph.node:
        if node.op_type == "Add" and made & {*node.input}:
            for name in {*node.input} - made - given:
                groups.setdefault(name, {name})
    for node in reversed(model.graph.node):
        if node.op_type == "Concat" and node.output[0] in groups:
            joined = groups[node.output[0]].union(*(groups.get(name, {name}) for name in node.input))
            groups.update(dict.fromkeys(joined, joined))
    return {name: max(abs(end) for member in group for end in ranges[member]) for name, group in groups.items()}


def transfer_ranges(
    ranges: Mapping[str, tuple[float, float]], model: onnx.ModelProto, other: onnx.ModelProto, kinds: Collection[str]
) -> dict[str, tuple[float, float]]:
    """Ranges of a graph for another of the same network, traced in other bits: nodes correspond by their order.

    Args:
        ranges: tensor of `model` -> its lower and upper end.
        model: where they were measured.
        other: the graph whose tensors are wanted.
        kinds: operators whose inputs and outputs are wanted.

    Raises:
        BuildError: the graphs are not laid out alike.
    """
    ours, theirs = ([node for node in m.graph.node if node.op_type in kinds] for m in (model, other))
    if [_likeness(node) for node in ours] != [_likeness(node) for node in theirs]:
        raise BuildError("the network's graphs in FP32 and FP16 are not laid out alike; build with --fp16")
    named = {
        b: a
        for one, two in zip(ours, theirs, strict=True)
        for a, b in zip([*one.input, *one.output], [*two.input, *two.output], strict=True)
    }
    return {b: ranges[a] for b, a in named.items() if a in ranges}


def _likeness(node: onnx.NodeProto) -> tuple[Any, ...]:
    return (node.op_type, len(node.input), *(a.SerializeToString(deterministic=True) for a in node.attribute))


def _scale(peak: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Steps that reach the peaks, rounded up: FP16 has few digits for small ones. TensorRT refuses a step of 0."""
    wanted = np.where(peak > 0, peak / MOST, 1.0)
    scale = wanted.astype(dtype)
    return np.asarray(np.where(scale < wanted, np.nextafter(scale, dtype.type(np.inf)), scale), dtype)


def _pair(graph: onnx.GraphProto, name: str, scale: NDArray[Any], **axis: int) -> list[onnx.NodeProto]:
    step, zero, low, high = (f"{name}.{part}" for part in ("scale", "zero_point", "quantised", "dequantised"))
    graph.initializer.append(numpy_helper.from_array(scale, step))
    graph.initializer.append(numpy_helper.from_array(np.zeros(scale.shape, np.int8), zero))
    pair = [
        helper.make_node(PAIR[0], [name, step, zero], [low], name=f"{name}.quantise"),
        helper.make_node(PAIR[1], [low, step, zero], [high], name=f"{name}.dequantise"),
    ]
    for node in pair:
        node.attribute.extend(helper.make_attribute(key, value) for key, value in axis.items())
    return pair


def with_nodes(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> onnx.ModelProto:
    """The model with these nodes instead of its own, checked."""
    fresh = onnx.GraphProto()
    fresh.node.extend(nodes)
    del model.graph.node[:]
    model.graph.node.extend(fresh.node)
    onnx.checker.check_model(model, full_check=True)
    return model


def with_float_output(low: onnx.ModelProto, floats: onnx.ModelProto, convolutions: Collection[str]) -> onnx.ModelProto:
    """Let some INT8 convolutions give what they sum, unrounded: one scale for all they give would be too coarse.

    Their weights become a Cast and a Mul, which say the same as DequantizeLinear: ONNX Runtime, which has no integer
    kernel from 8 bits to floats, makes floats of them once and not in every call; OpenVINO, which has one, takes both.
    One face of edge-tiny takes 0.82 of the time in OpenVINO that it takes with its last convolution in floats, and 0.97
    in ONNX Runtime.

    Args:
        low: graph as `engines.ort_quantise` writes it.
        floats: the graph that it was made of.
        convolutions: names of nodes in both.

    Returns:
        A new graph.

    Raises:
        BuildError: one of them does not end in a pair of QuantizeLinear and DequantizeLinear.
    """
    new = onnx.ModelProto()
    new.CopyFrom(low)
    graph = new.graph
    plain = {node.name: node for node in floats.graph.node}
    makers = {name: node for node in graph.node for name in node.output}
    made: dict[str, list[onnx.NodeProto]] = {}  # weights -> what makes floats of them
    instead: dict[str, str] = {}  # what the pair gave -> what the convolution gives
    lasts = [node for node in graph.node if node.name in convolutions]
    for node in lasts:
        weights = makers[node.input[1]]
        if weights.name not in made:
            made[weights.name] = _floats_of(graph, weights)
        node.input[1] = made[weights.name][-1].output[0]
        del node.input[2:]
        node.input.extend(f"{name}.float" for name in plain[node.name].input[2:])
        instead[_behind_pair(graph, node).output[0]] = node.output[0]
    given = {name for node in lasts for name in node.input[2:]}
    for tensor in floats.graph.initializer:
        if f"{tensor.name}.float" in given:
            graph.initializer.append(tensor)
            graph.initializer[-1].name += ".float"
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = instead.get(name, name)
    return _read(new, [*(node for nodes in made.values() for node in nodes), *graph.node])


def _floats_of(graph: onnx.GraphProto, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """A DequantizeLinear of symmetric weights as a Cast and a Mul."""
    values, scale = node.input[:2]
    (steps,) = (numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name == scale)
    graph.initializer.append(numpy_helper.from_array(steps.reshape(-1, 1, 1, 1), f"{scale}.column"))
    cast = helper.make_node("Cast", [values], [f"{values}.cast"], name=f"{values}.cast", to=TensorProto.FLOAT)
    product = f"{values}.times"
    return [cast, helper.make_node("Mul", [cast.output[0], f"{scale}.column"], [product], name=product)]


def _behind_pair(graph: onnx.GraphProto, node: onnx.NodeProto) -> onnx.NodeProto:
    """The DequantizeLinear of what a node gives."""
    behind = node
    for kind in PAIR:
        found = [reader for reader in graph.node if behind.output[0] in reader.input]
        if [reader.op_type for reader in found] != [kind]:
            raise BuildError(f"{node.name} is not followed by {' and '.join(PAIR)}; build with --fp16 or --fp32")
        (behind,) = found
    return behind


def _read(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    """The model with those of the nodes and weights that what it gives is made of."""
    needed = {output.name for output in model.graph.output}
    kept = []
    for node in reversed(nodes):
        if needed & {*node.output}:
            kept.append(node)
            needed |= {*node.input}
    fresh = onnx.GraphProto()
    fresh.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in needed)
    del model.graph.initializer[:]
    model.graph.initializer.extend(fresh.initializer)
    return with_nodes(model, kept[::-1])
