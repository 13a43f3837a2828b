"""A super-resolution graph that gives its estimate before it is rounded: what parity in fractions of a level needs."""

from __future__ import annotations

import onnx

from ..engines.errors import BuildError


def unrounded(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph whose one output is what its rounding takes.

    Args:
        model: pixels to pixels.

    Returns:
        The graph from pixels to (N, 3, scale·H, scale·W) float in 0..255, RGB or BGR as its network has it.

    Raises:
        BuildError: the graph does not round exactly once.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    rounding = [node for node in copy.graph.node if node.op_type == "Round"]
    if len(rounding) != 1:
        raise BuildError(f"a graph from pixels to pixels rounds once, this one {len(rounding)} times; trace it again")
    del copy.graph.output[:]
    copy.graph.output.append(onnx.helper.make_tensor_value_info(rounding[0].input[0], onnx.TensorProto.FLOAT, None))
    return copy
