"""Network -> ONNX, with batch and sides left open."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import onnx
import onnxsim
import torch
from torch import Tensor, nn

from ...engines.errors import BuildError

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
    return cast_first(strip_metadata(program.model_proto))


def _side(name: str, multiple: int) -> Any:
    if multiple == 1:
        return torch.export.Dim(name, min=8, max=4096)
    return multiple * torch.export.Dim(f"{name}_{multiple}", min=1, max=8192 // multiple)


def strip_metadata(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model, changed in place: what a tool wrote into it that no runtime needs is gone."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    return model


def simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constants and drop what does nothing.

    Raises:
        BuildError: the result is not a valid graph.
    """
    smaller: onnx.ModelProto
    smaller, same = onnxsim.simplify(model)
    if not same:
        raise BuildError("onnxsim changed what the graph computes; report the network, and build without it meanwhile")
    try:
        onnx.checker.check_model(smaller, full_check=True)
    except onnx.checker.ValidationError as error:
        raise BuildError(f"the simplified graph is not valid ONNX: {str(error).splitlines()[0]}") from None
    return smaller


def cast_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model, changed in place: Cast is the one node that reads an input of bytes.

    A Transpose that stands between the two changes places with it, and a Shape asks the Cast's output: neither knows
    the type of what it moves or measures, so results stay the same to the bit.

    Args:
        model: its uint8 inputs are read by Transpose, Shape and Cast; whatever else reads them is left alone.
    """
    graph = model.graph
    del graph.value_info[:]  # types of what lies between have changed
    for tensor in graph.input:
        if tensor.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
            _move_cast(graph, tensor.name)
    return model


def _move_cast(graph: onnx.GraphProto, pixels: str) -> None:
    readers = [node for node in graph.node if pixels in node.input]
    moves = [node for node in readers if node.op_type == "Transpose"]
    casts = [node for node in readers if node.op_type == "Cast"]
    for move in moves:
        after = [node for node in graph.node if move.output[0] in node.input]
        if len(after) == 1 and after[0].op_type == "Cast":
            cast, numbers = after[0], f"{pixels}_as_numbers_{len(casts)}"
            moved = cast.output[0]
            cast.input[0], cast.output[0] = pixels, numbers
            move.input[0], move.output[0] = numbers, moved
            casts.append(cast)
    for shape in readers:
        if shape.op_type == "Shape" and casts:
            shape.input[0] = casts[0].output[0]
    for cast in casts:  # they read the graph's input alone, so they may stand before everything
        first = onnx.NodeProto()
        first.CopyFrom(cast)
        graph.node.remove(cast)
        graph.node.insert(0, first)
