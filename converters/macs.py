"""How many multiply-adds a graph takes, counted on a run: shapes may depend on arithmetic that no inference follows."""

from __future__ import annotations

from collections.abc import Callable, Collection
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


def multiply_adds(model: onnx.ModelProto, batch: NDArray[Any], operators: Collection[str] = ()) -> dict[str, int]:
    """Count the multiply-adds of a graph's nodes.

    Args:
        model: in any precision.
        batch: its first input.
        operators: keys of `COUNTS` to count; none for all.

    Returns:
        The first output of each node that is counted, in the graph's order -> its multiply-adds; biases and activations
        do not count.
    """
    counted = [node for node in model.graph.node if node.op_type in (operators or COUNTS) and node.op_type in COUNTS]
    known: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    known[model.graph.input[0].name] = batch.shape
    outputs = {name for node in model.graph.node for name in node.output if name}
    wanted = sorted({name for node in counted for name in (*node.input, *node.output)} & outputs)
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    with TemporaryDirectory() as workshop:
        path = Path(workshop) / "shown.onnx"
        onnx.save(shown, path)
        graph = OrtGraph(path)
        made = graph.run(batch)
        graph.close()
    known |= {name: tensor.shape for name, tensor in zip(wanted, made, strict=True)}
    return {node.output[0]: COUNTS[node.op_type](node, known) for node in counted}


def macs_of(path: Path, side: int, operators: Collection[str] = ()) -> int:
    """All multiply-adds of an ONNX file for one picture of ``side`` × ``side`` pixels; see `multiply_adds`."""
    return sum(multiply_adds(onnx.load(path), np.zeros((1, side, side, 3), np.uint8), operators).values())


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


SIDE = 32
"""Side of the face whose multiply-adds are counted, in pixels; of a network that takes only smaller ones, theirs."""


@dataclass(frozen=True)
class Complexity:
    """What a network costs.

    Args:
        parameters: weights that were learnt.
        multiply_adds: of one face of `SIDE`, all that the graph does with it included.
    """

    parameters: int
    multiply_adds: int

    @property
    def gmac(self) -> float:
        """Multiply-adds in thousands of millions."""
        return self.multiply_adds / 1e9


def complexity(bundle: Bundle) -> Complexity:
    """Count what a super-resolution bundle costs, whatever its precision.

    Raises:
        UnknownNameError: the card names a network that this release does not have.
        EngineError: the graph cannot be run.
    """
    with torch.device("meta"):
        network = build_network(bundle.card.network, bundle.card.config)
    learnt = sum(parameter.numel() for parameter in network.parameters())
    windows = bundle.card.io_spec.windows
    return Complexity(learnt, macs_of(bundle.onnx, SIDE if SIDE in windows else min(windows)))
