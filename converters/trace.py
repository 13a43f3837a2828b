"""Network -> ONNX, with batch, height and width left open."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import onnx
import torch
from torch import nn

from ..engines.errors import BuildError
from .cast_first import cast_first

OPSET = 18
"""Understood by TensorRT 10.3 and later, OpenVINO 2023 and later, ONNX Runtime 1.14 and later."""


def onnx_from_network(network: nn.Module, multiple: int = 1, output: str = "enlarged") -> onnx.ModelProto:
    """Trace a network that takes pixels.

    Args:
        network: (N, H, W, 3) uint8 -> one tensor.
        multiple: what H and W are multiples of.
        output: name of the output.

    Returns:
        The graph, free of the tracer's notes (they hold paths of this machine).

    Raises:
        BuildError: the network cannot be traced.
    """
    example = torch.zeros((2, 64, 96, 3), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=64)
    height, width = (_side(name, multiple) for name in ("height", "width"))
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer about its own insides
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["pixels"],
                output_names=[output],
                dynamic_shapes=({0: batch, 1: height, 2: width},),
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
