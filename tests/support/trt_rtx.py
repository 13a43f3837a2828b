"""NVIDIA's own ONNX parser and ahead-of-time builder, of TensorRT for RTX, which need no GPU."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import pytest

LAYER = re.compile(r"^Name: (?P<name>[^,]+), LayerType: (?P<kind>\w+), .*?Outputs: (?P<outputs>.*)$", re.MULTILINE)
NO_KERNEL = ("signal", "wait", "shape_call")
"""Layers that launch no kernel: events between streams, and shapes computed on the host."""


class Kernel(NamedTuple):
    """A kernel launch of an engine: its layer's name and kind, and the type of its first output."""

    name: str
    kind: str
    dtype: str


class Plan(NamedTuple):
    """An engine: kernels of a call, and its size in bytes."""

    kernels: list[Kernel]
    size: int


def kernels(model: onnx.ModelProto, size_hw: tuple[int, int], capability: str, batch: int = 8) -> list[Kernel]:
    """Kernels of a call, see `plan`."""
    return plan(model, size_hw, capability, batch).kernels


def plan(model: onnx.ModelProto, size_hw: tuple[int, int], capability: str, batch: int = 8) -> Plan:
    """Build an engine of one input size; skips the test if TensorRT for RTX is not installed.

    Args:
        model: graph with input (N, H, W, 3), and inputs for 1 to 5 references.
        size_hw: height and width.
        capability: of the GPU, such as "SM86".
        batch: largest N.
    """
    trt = _module()
    messages: list[str] = []

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            messages.append(text)

    logger = Logger()
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(model.SerializeToString()), messages[-1]
    pixels, *others = (network.get_input(index) for index in range(network.num_inputs))
    pixels.shape = (-1, *size_hw, 3)
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.clear_flag(trt.BuilderFlag.TF32)
    config.num_compute_capabilities = 1
    assert config.set_compute_capability(getattr(trt.ComputeCapability, capability), 0)
    profile = builder.create_optimization_profile()
    profile.set_shape(pixels.name, (1, *size_hw, 3), (batch, *size_hw, 3), (batch, *size_hw, 3))
    for tensor in others:  # references: (N, R, …)
        profile.set_shape(
            tensor.name, *((n, slots, *tensor.shape[2:]) for n, slots in ((1, 1), (batch, 5), (batch, 5)))
        )
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    assert engine is not None, messages[-1]
    return Plan(_kernels("\n".join(messages)), engine.nbytes)


def _kernels(log: str) -> list[Kernel]:
    found = []
    for layer in LAYER.finditer(log):
        if layer["kind"] not in NO_KERNEL:
            dtype = re.search(r"Datatype: (\w+)", layer["outputs"])
            found.append(Kernel(layer["name"], layer["kind"], dtype[1] if dtype else ""))
    assert found, "the builder's log lists no layers"
    return found


def _module() -> Any:
    libs = pytest.importorskip("tensorrt_rtx_libs", reason="needs the package tensorrt-rtx-cu13")
    folder = Path(libs.__file__).parent
    for name in ("libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1"):
        ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
    return pytest.importorskip("tensorrt_rtx_bindings")
