"""Check of a prepared bundle with NVIDIA's parser and builder before it is shipped to a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ..engines.bundle.bundle import FP16_ONNX, ONNX, Bundle
from ..engines.errors import BuildError, EngineError, FacesrError, MissingDependencyError, one_line
from ..engines.tensorrt.api import RTX, version
from ..engines.tensorrt.builder import compile_engine
from ..engines.tensorrt.options import CompileOptions
from .static_graph import static_graph

CAPABILITY = "8.6"
"""Compute capability of the check: the nearest to 8.7, that of Jetson Orin, that TensorRT for RTX builds for."""


def check_with_builder(bundle: Bundle, report: Callable[[str], None]) -> None:
    """Parse and build the graphs of a bundle with TensorRT for RTX, if it is installed; it needs no GPU.

    It shares parser and strong typing with TensorRT, not its kernels or its version: what it takes may still fail on a
    device, and what it refuses may run. So a failure is reported, not raised.

    Args:
        bundle: prepared for TensorRT.
        report: called with one line for each graph, the result. INT8 comes with an FP16 graph.
    """
    try:
        release = version(RTX)
    except (MissingDependencyError, EngineError):
        return
    title = f"checked with the parser and builder of {RTX.name} {release}, compute capability {CAPABILITY}"
    _check(bundle, ONNX, title, report)
    if FP16_ONNX in bundle.card.files:
        _check(replace(bundle, card=replace(bundle.card, precision="fp16")), FP16_ONNX, title, report)


def _check(bundle: Bundle, file: str, title: str, report: Callable[[str], None]) -> None:
    """Build one graph, of the precision of the card."""
    title = f"{bundle.card.precision}: {title}"
    options = CompileOptions(compute_capabilities=(CAPABILITY,))
    try:
        result = compile_engine(bundle, partial(static_graph, bundle.read_graph(file)), options, product=RTX)
    except BuildError as error:
        report(f"{title}: {one_line(error)}; it may fail on the device too")
    except FacesrError as error:
        report(f"not checked with {RTX.name}: {one_line(error)}")
    else:
        counts = next(iter(result.layers.values()))
        layers = ", ".join(f"{count} {name}" for name, count in counts.items())
        report(f"{title}: all {len(result.plans)} input sizes are built ({layers})")
