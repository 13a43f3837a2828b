"""Multiply-accumulate operations (MACs) of a graph.

They are counted from the shapes of a run in ONNX Runtime: shape inference cannot follow shapes that the graph computes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from ..engines.bundle.bundle import Bundle
from ..engines.onnxruntime.session import OrtGraph
from ..networks import build_network

Shape = tuple[int, ...]
SIDE = 32
"""Side of the face that `complexity` counts, in pixels; the smallest crop size of a network that does not take it."""


def node_macs(model: onnx.ModelProto, batch: NDArray[Any], operators: Collection[str] = ()) -> dict[str, int]:
    """MACs of each node; biases and activations do not count.

    Args:
        model: in any precision.
        batch: its first input.
        operators: keys of `MACS` to count; empty for all.

    Returns:
        First output of each counted node, in graph order -> MACs.
    """
    counted = [node for node in model.graph.node if node.op_type in (operators or MACS) and node.op_type in MACS]
    shapes: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes[model.graph.input[0].name] = batch.shape
    outputs = {name for node in model.graph.node for name in node.output if name}
    names = sorted({name for node in counted for name in (*node.input, *node.output)} & outputs)
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    del exposed.graph.output[:]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "exposed.onnx"
        onnx.save(exposed, path)
        with closing(OrtGraph(path)) as graph:
            tensors = graph.run(batch)
    shapes |= {name: tensor.shape for name, tensor in zip(names, tensors, strict=True)}
    return {node.output[0]: MACS[node.op_type](node, shapes) for node in counted}


def macs_of(path: Path, side: int, operators: Collection[str] = ()) -> int:
    """MACs of an ONNX file for one input of ``side`` × ``side`` pixels; see `node_macs`."""
    return sum(node_macs(onnx.load(path), np.zeros((1, side, side, 3), np.uint8), operators).values())


def _conv(weight: int) -> Callable[[onnx.NodeProto, dict[str, Shape]], int]:
    """Output positions times kernel size; `weight` is the index of the kernel input."""

    def count(node: onnx.NodeProto, shapes: dict[str, Shape]) -> int:
        output = shapes[node.output[0]]
        return output[0] * prod(shapes[node.input[weight]]) * prod(output[2:])

    return count


def _conv_transpose(node: onnx.NodeProto, shapes: dict[str, Shape]) -> int:
    x = shapes[node.input[0]]
    return x[0] * prod(shapes[node.input[1]]) * prod(x[2:])


def _matmul(node: onnx.NodeProto, shapes: dict[str, Shape]) -> int:
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _gemm(node: onnx.NodeProto, shapes: dict[str, Shape]) -> int:
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else -1]


MACS: dict[str, Callable[[onnx.NodeProto, dict[str, Shape]], int]] = {
    "Conv": _conv(1),
    "ConvInteger": _conv(1),
    "QLinearConv": _conv(3),
    "ConvTranspose": _conv_transpose,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
    "Gemm": _gemm,
}
"""Operator -> function of a node and the tensor shapes that returns its MACs."""


@dataclass(frozen=True)
class Complexity:
    """Trainable weights of a network, and MACs of the whole graph for one face of `SIDE`."""

    parameters: int
    macs: int

    @property
    def gmacs(self) -> float:
        """MACs in 10⁹."""
        return self.macs / 1e9


def complexity(bundle: Bundle) -> Complexity:
    """Parameters and MACs of a super-resolution bundle in any precision.

    Raises:
        UnknownNameError: the card names a network that this release does not have.
        EngineError: the graph cannot be run.
    """
    with torch.device("meta"):
        network = build_network(bundle.card.network, bundle.card.config)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    crop_sizes = bundle.card.io_spec.crop_sizes
    return Complexity(parameters, macs_of(bundle.onnx, SIDE if SIDE in crop_sizes else min(crop_sizes)))
