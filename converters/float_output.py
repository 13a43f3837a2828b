"""A last convolution of a CPU's INT8 graph: it reads 8 bits and gives floats."""

from __future__ import annotations

from collections.abc import Collection

import onnx
from onnx import TensorProto, helper, numpy_helper

from ..engines.errors import BuildError
from .qdq import PAIR, with_nodes


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
