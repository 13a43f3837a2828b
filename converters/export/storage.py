"""Storage of ONNX weights: FP32 initializers that FP16 holds exactly are stored in FP16, with a Cast.

Shipped weights are rounded to FP16 before export (`half_weights`), so the file shrinks to half without a change of the
output: ONNX Runtime, OpenVINO and TensorRT fold the Cast of a constant when they load the graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SUFFIX = "_fp16"
"""Ends the name of an initializer that is stored in FP16."""
MIN_VALUES = 64
"""Smaller initializers stay as they are: a Cast takes more space than it saves."""


def compress_initializers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store FP32 initializers in FP16 where that is exact, changed in place.

    Args:
        model: a graph; initializers with values that FP16 does not hold exactly are left alone.

    Returns:
        The same model, its output equal to the bit once the Casts are folded.
    """
    graph = model.graph
    outputs = {tensor.name for tensor in graph.output}
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < MIN_VALUES or tensor.name in outputs:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, name + SUFFIX))
        casts.append(helper.make_node("Cast", [name + SUFFIX], [name], name=name + "_cast", to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
    return model


def expand_initializers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Undo `compress_initializers`, changed in place: tools that change a graph find its weights as initializers."""
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer if tensor.name.endswith(SUFFIX)}
    for node in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in stored]:
        tensor = stored[node.input[0]]
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, node.output[0]))
        graph.node.remove(node)
    return model


def load_graph(path: Path) -> onnx.ModelProto:
    """Load an ONNX file with all weights as FP32 initializers, see `expand_initializers`."""
    return expand_initializers(onnx.load(path))


def compressed(path: Path) -> bytes:
    """Content of an FP32 ONNX file with its weights in FP16, see `compress_initializers`."""
    content: bytes = compress_initializers(onnx.load(path)).SerializeToString()
    return content


@contextmanager
def expanded(path: Path) -> Iterator[Path]:
    """Temporary copy of an ONNX file, see `load_graph`, for tools that read weights from the initializers of a file."""
    with TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        onnx.save(load_graph(path), copy)
        yield copy
