"""Selection of the layers to quantize: convolutions except the first, and the last if it has few channels."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx

from ...engines.bundle.projection import PREFIX
from ..macs import node_macs

KINDS = ["Conv", "Relu", "Add", "Concat", "DepthToSpace", "Resize"]
"""Operators that are quantized; others keep their precision."""
MIN_INT8_CHANNELS = 16
"""Minimum output channels of a last convolution to quantize it: INT8 kernels process 16 channels at once. Images have
three, the detector's maps fifteen."""
MEASURED_SIDE = 64
"""Height and width at which MACs are counted if the graph has dynamic sides; shares barely depend on it."""


def excluded_description(model: onnx.ModelProto, for_gpu: bool = False) -> str:
    """Describe `excluded_nodes` for messages."""
    _, last = boundary_convolutions(model)
    description = "first and last convolutions" if excluded_nodes(model) & last else "first convolution"
    return f"{description}, depthwise convolutions" if for_gpu and depthwise_convolutions(model) else description


def stages(model: onnx.ModelProto) -> dict[str, list[str]]:
    """Stage -> names of its convolutions, in graph order.

    A stage is the prefix of the weight's name up to the first number: "stages.0" of "network.stages.0.1.mix.weight".
    """
    names: dict[str, list[str]] = {}
    for node in _convolutions(model):
        names.setdefault(_stage(node.input[1]), []).append(node.name)
    return names


def excluded_nodes(model: onnx.ModelProto, for_gpu: bool = False) -> set[str]:
    """Names of the convolutions that are never quantized: the first, the last if it has few channels, and others.

    For TensorRT, depthwise ones are not either: they are limited by memory, and to each of their channels TensorRT for
    RTX adds three of zeros for INT8, which it stores in the engine: 148 MB for five sizes of the detector.

    The first reads three color channels, the last may write as few: INT8 kernels gain nothing there. A last convolution
    before a pixel shuffle has more channels and is quantized. Those of the consistency projection are not.
    """
    first, last = boundary_convolutions(model)
    channels = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if tensor.dims}
    narrow = {node.name for node in _convolutions(model) if channels.get(node.input[1], 0) < MIN_INT8_CHANNELS}
    projection = {node.name for node in model.graph.node if node.op_type == "Conv"}
    projection -= {node.name for node in _convolutions(model)}
    return first | (last & narrow) | projection | (depthwise_convolutions(model) if for_gpu else set())


def depthwise_convolutions(model: onnx.ModelProto) -> set[str]:
    """Names of the convolutions with one input channel per group."""
    channels = {tensor.name: tensor.dims[1] for tensor in model.graph.initializer if len(tensor.dims) == 4}
    groups = {node.name: {a.name: a.i for a in node.attribute}.get("group", 1) for node in _convolutions(model)}
    return {node.name for node in _convolutions(model) if groups[node.name] > 1 and channels.get(node.input[1]) == 1}


def boundary_convolutions(model: onnx.ModelProto) -> tuple[set[str], set[str]]:
    """Names of the convolutions without a convolution before them, and of those without one after them."""
    first, last = set[str](), set[str]()
    sources: dict[str, set[str]] = {}  # tensor -> its closest preceding convolutions
    for node in model.graph.node:
        before = {conv for name in node.input for conv in sources.get(name, ())}
        if _is_network_conv(node):
            first |= set() if before else {node.name}
            last = (last - before) | {node.name}
            before = {node.name}
        sources.update(dict.fromkeys(node.output, before))
    return first, last


def quantizable(model: onnx.ModelProto, excluded: Collection[str]) -> list[str]:
    """Names of the nodes to quantize: convolutions that are not excluded, and nodes of `KINDS` between two of them."""
    quantized: set[str] = set()  # outputs of candidates
    candidates: list[onnx.NodeProto] = []
    for node in model.graph.node:
        is_conv = node.op_type == "Conv"
        if node.name not in excluded if is_conv else node.op_type in KINDS and bool(quantized & {*node.input}):
            candidates.append(node)
            quantized |= {*node.output}
    required: set[str] = set()  # tensors that lead to a quantized convolution
    names: list[str] = []
    for node in reversed(candidates):
        if node.op_type == "Conv" or required & {*node.output}:
            names.append(node.name)
            required |= {*node.input}
    return names[::-1]


def int8_mac_share(model: onnx.ModelProto, nodes: Collection[str]) -> float:
    """Share of the convolutions' MACs in `nodes`, 0..1."""
    side = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value or MEASURED_SIDE
    macs = node_macs(model, np.zeros((1, side, side, 3), np.uint8), ["Conv"])
    quantized = sum(macs[node.output[0]] for node in _convolutions(model) if node.name in nodes)
    return float(quantized / max(1, sum(macs.values())))


def _convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if _is_network_conv(node)]


def _is_network_conv(node: onnx.NodeProto) -> bool:
    return node.op_type == "Conv" and not node.input[1].startswith(PREFIX)


def _stage(weight: str) -> str:
    parts = weight.removeprefix("network.").split(".")
    number = next((n for n, part in enumerate(parts) if part.isdigit()), 0)
    return ".".join(parts[: number + 1])
