"""What a network costs, on any machine: its parameters, and the multiply-adds of a face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from ..engines.bundle import Bundle
from ..engines.ort import Graph
from ..networks import build_network

SIDE = 32
"""Side of the face whose multiply-adds are counted, in pixels."""
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Args:
        parameters: weights that were learnt.
        multiply_adds: of one face of 32×32 pixels, all that the graph does with it included.
    """

    parameters: int
    multiply_adds: int

    @property
    def gmac(self) -> float:
        """Multiply-adds in thousands of millions."""
        return self.multiply_adds / 1e9


def cost(bundle: Bundle) -> Cost:
    """Count what a super-resolution bundle costs, whatever its precision.

    Raises:
        UnknownNameError: the card names a network that this release does not have.
        EngineError: the graph cannot be run.
    """
    with torch.device("meta"):
        network = build_network(bundle.card.network, bundle.card.config)
    learnt = sum(parameter.numel() for parameter in network.parameters())
    return Cost(learnt, all_multiply_adds(bundle.onnx, np.zeros((1, SIDE, SIDE, 3), np.uint8)))


def all_multiply_adds(path: Path, batch: NDArray[Any]) -> int:
    """Multiply-adds of a graph's convolutions and matrix products on an input, counted on a run.

    Shapes may depend on arithmetic that no inference follows, so the tensors themselves are looked at.

    Args:
        path: ONNX file.
        batch: its first input.
    """
    model = onnx.load(path)
    known: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    known[model.graph.input[0].name] = batch.shape
    counted = [node for node in model.graph.node if node.op_type in COUNTS]
    outputs = {name for node in model.graph.node for name in node.output if name}
    wanted = sorted({name for node in counted for name in (*node.input, *node.output)} & outputs)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    with TemporaryDirectory() as workshop:
        shown = Path(workshop) / "shown.onnx"
        onnx.save(model, shown)
        graph = Graph(shown)
        made = graph.run(batch)
        graph.close()
    known |= {name: tensor.shape for name, tensor in zip(wanted, made, strict=True)}
    return sum(COUNTS[node.op_type](node, known) for node in counted)


def _convolved(weight: int) -> Callable[[onnx.NodeProto, dict[str, Shape]], int]:
    """Each place of the output, times a kernel; `weight` is which input has the kernels."""

    def count(node: onnx.NodeProto, shapes: dict[str, Shape]) -> int:
        output = shapes[node.output[0]]
        return output[0] * prod(shapes[node.input[weight]]) * prod(output[2:])

    return count


def _deconvolved(node: onnx.NodeProto, shapes: dict[str, Shape]) -> int:
    given = shapes[node.input[0]]
    return given[0] * prod(shapes[node.input[1]]) * prod(given[2:])


def _multiplied(node: onnx.NodeProto, shapes: dict[str, Shape]) -> int:
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _gemm(node: onnx.NodeProto, shapes: dict[str, Shape]) -> int:
    turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if turned else -1]


COUNTS: dict[str, Callable[[onnx.NodeProto, dict[str, Shape]], int]] = {
    "Conv": _convolved(1),
    "ConvInteger": _convolved(1),
    "QLinearConv": _convolved(3),
    "ConvTranspose": _deconvolved,
    "MatMul": _multiplied,
    "MatMulInteger": _multiplied,
    "QLinearMatMul": _multiplied,
    "Gemm": _gemm,
}
"""Operator -> how its multiply-adds follow from the shapes."""
