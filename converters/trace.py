"""Network -> ONNX, with batch and sides left open."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from ..engines.errors import BuildError
from .cast_first import cast_first

OPSET = 18
"""Understood by TensorRT 10.3 and later, OpenVINO 2023 and later, ONNX Runtime 1.14 and later."""
LENT = ("keys", "values", "present")
"""What a graph calls its inputs of references."""


def onnx_from_network(
    network: nn.Module,
    multiple: int = 1,
    output: str = "enlarged",
    lent: Sequence[Tensor] = (),
    side: int = 0,
    square: bool = False,
) -> onnx.ModelProto:
    """Trace a network that takes pixels.

    Args:
        network: (N, H, W, 3) uint8 -> one tensor.
        multiple: what H and W are multiples of.
        output: name of the output.
        lent: keys, values and presence of references, (N, R, …) each, for a network that takes them; N and R are left
            open.
        side: H and W where they are fixed, as references need them; 0 for open ones.
        square: H is W: what is computed of either is in the graph once.

    Returns:
        The graph, free of the tracer's notes (they hold paths of this machine).

    Raises:
        BuildError: the network cannot be traced.
    """
    example = torch.zeros((2, side or 64, side or (64 if square else 96), 3), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=64)
    height = _side("height", multiple)
    sides = {} if side else {1: height, 2: height if square else _side("width", multiple)}
    slots = torch.export.Dim("references", min=1, max=64)
    names = ["pixels", *LENT[: len(lent)]]
    shapes = ({0: batch, **sides}, *[{0: batch, 1: slots} for _ in lent])
    return traced(network, (example, *lent), names, [output], shapes)


def traced(
    network: nn.Module,
    examples: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    shapes: tuple[dict[int, Any], ...],
) -> onnx.ModelProto:
    """Trace any network.

    Args:
        network: what is traced.
        examples: its inputs; open sides must not be 1.
        inputs, outputs: their names.
        shapes: for each input the sides that are left open.

    Returns:
        The graph, free of the tracer's notes.

    Raises:
        BuildError: the network cannot be traced.
    """
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer about its own insides
            program = torch.onnx.export(
                network,
                examples,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=shapes,
                verbose=False,
            )
    except Exception as error:  # the exporter wraps whatever went wrong inside of it
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise BuildError(f"the network cannot be traced: {reason}") from error
    finally:
        quiet.setLevel(level)
    if program is None:
        raise BuildError("the tracer gave no graph; install the versions of facesr-edge[build]")
    return cast_first(without_notes(program.model_proto))


def _side(name: str, multiple: int) -> Any:
    if multiple == 1:
        return torch.export.Dim(name, min=8, max=4096)
    return multiple * torch.export.Dim(f"{name}_{multiple}", min=1, max=8192 // multiple)


def without_notes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model, changed in place: what a tool wrote into it that no runtime needs is gone."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    return model
