"""The graph of a bundle for one input size: what depends on the size alone becomes constants."""

from __future__ import annotations

from ..engines.errors import BuildError, MissingDependencyError, first_line
from ..engines.inputs import SAMPLES


def static_graph(graph: bytes, height: int, width: int) -> bytes:
    """Fix height and width of a graph's inputs; the batch size stays dynamic.

    TensorRT does not fold the matrices of the consistency projection, which are computed from the size: it would
    compute them in every call, in 13 kernels of edge-tiny-x4-camera.

    Args:
        graph: ONNX; its first input is (N, H, W, 3), another one may be samples (N, 2·k², H, W).
        height, width: of the pixels.

    Raises:
        BuildError: the graph has another size, or cannot be simplified.
        MissingDependencyError: onnx or onnxsim is not installed.
    """
    try:
        import onnx
        import onnxsim
    except ImportError as error:
        raise MissingDependencyError(error.name or "onnx", "compile", "compiling an engine") from None
    model = onnx.load_from_string(graph)
    pixels, *others = model.graph.input
    sides = [(pixels, 1, height), (pixels, 2, width)]
    sides += [(one, axis, size) for one in others if one.name == SAMPLES for axis, size in ((2, height), (3, width))]
    for tensor, axis, size in sides:
        dim = tensor.type.tensor_type.shape.dim[axis]
        if dim.HasField("dim_value") and dim.dim_value != size:
            raise BuildError(f"expected a graph for {width}x{height} px, it takes {dim.dim_value} px only")
        dim.ClearField("dim_param")
        dim.dim_value = size
    for output in model.graph.output:
        for dim in output.type.tensor_type.shape.dim[1:]:
            dim.ClearField("dim_param")
    del model.graph.value_info[:]
    try:
        static, _ = onnxsim.simplify(model)
    except Exception as error:  # of many types
        reason = first_line(error)
        raise BuildError(f"the graph cannot be simplified for {width}x{height} px: {reason}; export it again") from None
    return bytes(static.SerializeToString())
