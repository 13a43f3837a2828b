"""The graph of a bundle for one input size: what depends on the size alone becomes constants."""

from __future__ import annotations

from ..engines.errors import BuildError, MissingDependencyError, first_line


def static_graph(graph: bytes, height: int, width: int) -> bytes:
    """Fix height and width of a graph's pixels; the batch size stays dynamic.

    TensorRT does not fold the matrices of the consistency projection, which are computed from the size: it would
    compute them in every call, in 13 kernels of edge-tiny-x4-camera.

    Args:
        graph: ONNX; its first input is (N, H, W, 3).
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
    for axis, size in ((1, height), (2, width)):
        dim = model.graph.input[0].type.tensor_type.shape.dim[axis]
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
