"""A convolution of a graph for CPUs that reads 8 bits and gives floats, as the last one does."""

from __future__ import annotations

from collections.abc import Collection

import onnx
from onnx import TensorProto, helper, numpy_helper


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
        The graph, changed in place.
    """
    graph = low.graph
    makers = {name: node for node in graph.node for name in node.output}
    readers = {name: node for node in graph.node for name in node.input}
    tensors = {tensor.name: tensor for tensor in [*floats.graph.initializer, *graph.initializer]}
    instead: dict[str, list[onnx.NodeProto]] = {}  # name of a node -> what takes its place
    for node in [node for node in graph.node if node.name in convolutions]:
        weights = makers[node.input[1]]
        instead[weights.name] = _in_floats(graph, weights, tensors[weights.input[1]])
        for name in node.input[2:]:
            instead[makers[name].name] = []
            graph.initializer.append(tensors[name])
        quantised = readers[node.output[0]]
        back = readers[quantised.output[0]]
        instead |= {quantised.name: [], back.name: []}
        for reader in graph.node:
            for place, name in enumerate(reader.input):
                if name == back.output[0]:
                    reader.input[place] = node.output[0]
    fresh = onnx.GraphProto()
    fresh.node.extend(kept for node in graph.node for kept in instead.get(node.name, [node]))
    read = {name for node in fresh.node for name in node.input}
    fresh.initializer.extend(tensor for tensor in graph.initializer if tensor.name in read)
    for ours, theirs in ((graph.node, fresh.node), (graph.initializer, fresh.initializer)):
        del ours[:]
        ours.extend(theirs)
    onnx.checker.check_model(low, full_check=True)
    return low


def _in_floats(graph: onnx.GraphProto, node: onnx.NodeProto, scale: onnx.TensorProto) -> list[onnx.NodeProto]:
    """A DequantizeLinear of symmetric weights as a Cast and a Mul."""
    values, column = node.input[0], f"{scale.name}.column"
    graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(scale).reshape(-1, 1, 1, 1), column))
    cast = helper.make_node("Cast", [values], [f"{values}.cast"], name=f"{values}.cast", to=TensorProto.FLOAT)
    return [cast, helper.make_node("Mul", [cast.output[0], column], node.output, name=f"{values}.times")]
