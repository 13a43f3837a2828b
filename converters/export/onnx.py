"""PyTorch to ONNX export with dynamic batch size and, optionally, dynamic height and width."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import onnx
import onnxsim
import torch
from torch import Tensor, nn

from ...engines.errors import BuildError
from ...engines.inputs import SAMPLES

OPSET = 18
"""Supported by TensorRT 10.3, OpenVINO 2023 and ONNX Runtime 1.14, and later."""
NO_OTHERS: Mapping[str, Tensor] = MappingProxyType({})


def onnx_from_network(
    network: nn.Module,
    multiple: int = 1,
    outputs: Sequence[str] = ("enlarged", "residual"),
    others: Mapping[str, Tensor] = NO_OTHERS,
    side: int = 0,
    square: bool = False,
) -> onnx.ModelProto:
    """Export a network that takes pixels.

    Args:
        network: (N, H, W, 3) uint8 -> a tensor for each output.
        multiple: H and W are multiples of it.
        outputs: names of the outputs.
        others: name -> example of an input besides the pixels, as the network's `forward` names it: of references
            (N, R, …), N and R being dynamic, or the samples of a track (N, 2·k², H, W), only the channels being fixed.
        side: fixed H and W, which references require; 0 for dynamic ones.
        square: H equals W, so the graph computes what depends on either only once.

    Returns:
        The graph without the exporter's metadata, which holds paths of this machine.

    Raises:
        BuildError: the network cannot be exported.
    """
    length = side or _example_side(others)
    example = torch.zeros((2, length, length if side or square else 96, 3), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=64)
    height = _side_dim("height", multiple)
    sides = {} if side else {1: height, 2: height if square else _side_dim("width", multiple)}
    shapes = {"pixels": {0: batch, **sides}, **_dynamic_shapes(others, batch, height)}
    return trace(network, (example,), [*shapes], outputs, shapes if others else (shapes["pixels"],), others)


def graph_of_planes(
    network: nn.Module,
    dtype: torch.dtype,
    multiple: int = 1,
    others: Mapping[str, Tensor] = NO_OTHERS,
    side: int = 0,
) -> onnx.ModelProto:
    """Export a network of square crops "x" (N, 3, H, H) to "sub_pixels" of any shape; raises as `onnx_from_network`.

    Args:
        network: to export.
        dtype: of the crops.
        multiple, others, side: see `onnx_from_network`.
    """
    batch, side_dim = torch.export.Dim("batch", min=1, max=64), _side_dim("side", multiple)
    length = side or _example_side(others)
    example = torch.zeros((2, 3, length, length), dtype=dtype)
    sides = {} if side else {2: side_dim, 3: side_dim}
    shapes = {"x": {0: batch, **sides}, **_dynamic_shapes(others, batch, side_dim)}
    return trace(network, (example,), [*shapes], ["sub_pixels"], shapes if others else (shapes["x"],), others)


def _example_side(others: Mapping[str, Tensor]) -> int:
    """Height of an example crop of any size: that of the samples."""
    return others[SAMPLES].shape[2] if SAMPLES in others else 64


def _dynamic_shapes(others: Mapping[str, Tensor], batch: Any, side: Any) -> dict[str, dict[int, Any]]:
    """Input besides the pixels -> axis -> dimension."""
    slots = torch.export.Dim("references", min=1, max=64)
    return {name: {0: batch, 2: side, 3: side} if name == SAMPLES else {0: batch, 1: slots} for name in others}


def trace(
    network: nn.Module,
    examples: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_shapes: tuple[dict[int, Any], ...] | dict[str, dict[int, Any]],
    others: Mapping[str, Tensor] = NO_OTHERS,
) -> onnx.ModelProto:
    """Export any module by tracing it; returns and raises as `onnx_from_network`.

    Args:
        network, examples: module and its inputs, whose dynamic dimensions must not be 1.
        inputs, outputs: names of inputs and outputs.
        dynamic_shapes: for each input, axis -> dimension; by its name if there are `others`.
        others: further inputs, which are passed by name.
    """
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside the exporter
            program = torch.onnx.export(
                network,
                examples,
                kwargs=dict(others) or None,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=dynamic_shapes,
                verbose=False,
            )
    except Exception as error:  # the exporter raises many unrelated types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise BuildError(f"the network cannot be exported to ONNX: {reason}") from error
    finally:
        logger.setLevel(level)
    if program is None:
        raise BuildError("torch.onnx.export returned no graph; install the versions of facesr-edge[build]")
    return cast_first(strip_metadata(program.model_proto))


def _side_dim(name: str, multiple: int) -> Any:
    if multiple == 1:
        return torch.export.Dim(name, min=8, max=4096)
    return multiple * torch.export.Dim(f"{name}_{multiple}", min=1, max=8192 // multiple)


def strip_metadata(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove metadata that no runtime needs, in place: metadata properties, doc strings and inferred shapes."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    return model


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Simplify a graph with onnxsim: constant folding and removal of redundant nodes.

    Raises:
        BuildError: the result is not a valid graph, or computes something else.
    """
    simplified: onnx.ModelProto
    simplified, equal = onnxsim.simplify(model)
    if not equal:
        raise BuildError("onnxsim changed the graph's output; report a bug for this network")
    try:
        onnx.checker.check_model(simplified, full_check=True)
    except onnx.checker.ValidationError as error:
        raise BuildError(f"the simplified graph is not valid ONNX: {str(error).splitlines()[0]}") from None
    return simplified


def cast_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make Cast the only consumer of each uint8 input, in place, as TensorRT requires.

    A Transpose between the input and a Cast is swapped with the Cast, and a Shape reads the Cast's output. Neither
    depends on the type, so the output stays bit-exact. Other consumers are left unchanged.
    """
    graph = model.graph
    del graph.value_info[:]  # types of intermediate tensors change
    for tensor in graph.input:
        if tensor.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
            _move_cast(graph, tensor.name)
    return model


def _move_cast(graph: onnx.GraphProto, pixels: str) -> None:
    consumers = [node for node in graph.node if pixels in node.input]
    casts = [node for node in consumers if node.op_type == "Cast"]
    for transpose in (node for node in consumers if node.op_type == "Transpose"):
        after = [node for node in graph.node if transpose.output[0] in node.input]
        if len(after) == 1 and after[0].op_type == "Cast":
            cast, floats = after[0], f"{pixels}_float_{len(casts)}"
            transposed = cast.output[0]
            cast.input[0], cast.output[0] = pixels, floats
            transpose.input[0], transpose.output[0] = floats, transposed
            casts.append(cast)
    for shape in consumers:
        if shape.op_type == "Shape" and casts:
            shape.input[0] = casts[0].output[0]
    for cast in casts:  # they read only the graph's input, so they may come first
        moved = onnx.NodeProto()
        moved.CopyFrom(cast)
        graph.node.remove(cast)
        graph.node.insert(0, moved)
