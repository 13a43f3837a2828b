"""Which layers of a graph may go to INT8: its convolutions but the first, and the last if it has few channels."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx

from ..macs import multiply_adds

KINDS = ["Conv", "Relu", "Add", "Concat", "DepthToSpace", "Resize"]
"""Operators that become INT8; others keep their precision."""
MIN_INT8_CHANNELS = 16
"""A last convolution of fewer channels gains little by INT8: kernels take as many at once. Colours are three, the
detector's maps fifteen."""
MEASURED_SIDE = 64
"""Height and width at which multiply-adds are counted where the graph takes any; their shares hardly depend on it."""


def described(model: onnx.ModelProto) -> str:
    """What `excluded_nodes` keeps, in words."""
    return (
        "first and last convolutions"
        if excluded_nodes(model) - boundary_convolutions(model)[0]
        else "first convolution"
    )


def stages(model: onnx.ModelProto) -> dict[str, list[str]]:
    """Stage -> names of its convolutions, in the graph's order.

    A stage is where the weights come from, up to the first number: "stages.0" of "network.stages.0.1.mix.weight".
    """
    found: dict[str, list[str]] = {}
    for node in _convolutions(model):
        found.setdefault(_stage(node.input[1]), []).append(node.name)
    return found


def excluded_nodes(model: onnx.ModelProto) -> set[str]:
    """Names of the convolutions that keep their floats: those that no other precedes, and thin ones that none follows.

    The first sees the pixels and has too few channels to gain by INT8, as the last has where it gives colours or maps;
    one that gives all pixels of a sub-pixel step has more.
    """
    first, last = boundary_convolutions(model)
    channels = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if tensor.dims}
    thin = {node.name for node in _convolutions(model) if channels.get(node.input[1], 0) < MIN_INT8_CHANNELS}
    return first | (last & thin)


def boundary_convolutions(model: onnx.ModelProto) -> tuple[set[str], set[str]]:
    """Names of the convolutions that no other precedes, and of those that no other follows."""
    first: set[str] = set()
    last: set[str] = set()
    source: dict[str, set[str]] = {}  # tensor -> the convolutions right before it
    for node in model.graph.node:
        before = {conv for name in node.input for conv in source.get(name, ())}
        if node.op_type == "Conv":
            first |= set() if before else {node.name}
            last = (last - before) | {node.name}
            before = {node.name}
        source.update(dict.fromkeys(node.output, before))
    return first, last


def quantizable(model: onnx.ModelProto, high: Collection[str]) -> list[str]:
    """Names of the nodes to quantise: the convolutions not kept high, and what stands between two of them.

    Args:
        model: simplified graph in FP32.
        high: names of convolutions that keep their precision.
    """
    fed: set[str] = set()  # tensors that come from INT8 without a break
    chosen: list[onnx.NodeProto] = []
    for node in model.graph.node:
        low = node.name not in high if node.op_type == "Conv" else node.op_type in KINDS and bool(fed & {*node.input})
        if low:
            chosen.append(node)
            fed |= {*node.output}
    wanted: set[str] = set()  # tensors that an INT8 convolution, further on, is made of
    kept: list[str] = []
    for node in reversed(chosen):
        if node.op_type == "Conv" or wanted & {*node.output}:
            kept.append(node.name)
            wanted |= {*node.input}
    return kept[::-1]


def int8_mac_share(model: onnx.ModelProto, nodes: Collection[str]) -> float:
    """Share of the convolutions' multiply-adds that lies in some nodes, 0..1."""
    side = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value or MEASURED_SIDE
    spent = multiply_adds(model, np.zeros((1, side, side, 3), np.uint8), ["Conv"])
    theirs = sum(spent[node.output[0]] for node in _convolutions(model) if node.name in nodes)
    return float(theirs / max(1, sum(spent.values())))


def _convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "Conv"]


def _stage(weight: str) -> str:
    parts = weight.removeprefix("network.").split(".")
    number = next((n for n, part in enumerate(parts) if part.isdigit()), 0)
    return ".".join(parts[: number + 1])
