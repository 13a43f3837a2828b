"""ONNX -> the same graph with fewer nodes."""

from __future__ import annotations

import onnx
import onnxsim

from ..engines.errors import BuildError


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
