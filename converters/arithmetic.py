"""How many multiply-adds a graph's convolutions take."""

from __future__ import annotations

from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from ..engines.ort import Graph


def multiply_adds(model: onnx.ModelProto, side: int) -> dict[str, int]:
    """Count the multiply-adds of convolutions on a run, as shapes may depend on arithmetic that no inference follows.

    Args:
        model: in FP32, from (N, H, W, 3) uint8 pixels.
        side: H = W in pixels.

    Returns:
        Name of each convolution, in the graph's order -> its multiply-adds for one picture; biases, activations and
        small matrix products are not counted.
    """
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    weights = {tensor.name: prod(tensor.dims) for tensor in model.graph.initializer}
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=node.output[0]) for node in convolutions)
    with TemporaryDirectory() as workshop:
        path = Path(workshop) / "shown.onnx"
        onnx.save(shown, path)
        made = Graph(path).run(np.zeros((1, side, side, 3), np.uint8))
    return {n.name: weights[n.input[1]] * prod(t.shape[2:]) for n, t in zip(convolutions, made, strict=True)}


def macs_of(path: Path, side: int) -> int:
    """All multiply-adds of an ONNX file's convolutions, for one picture; see `multiply_adds`."""
    return sum(multiply_adds(onnx.load(path), side).values())
