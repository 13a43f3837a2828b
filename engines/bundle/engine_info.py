"""What a compiled engine was built for, and whether it can run on this device."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from ..errors import BundleError

TURING = "7.5"
"""Compute capability that TensorRT for RTX builds for only if it is asked to."""
RTX_CAPABILITIES = (TURING, "8.0", "8.6", "8.9", "12.0", "12.1")
"""Compute capabilities of the GPUs that TensorRT for RTX supports."""
RTX = "TensorRT-RTX"
"""Runtime whose engines are built for a set of compute capabilities, not for the GPU of the machine."""


@dataclass(frozen=True)
class EngineInfo:
    """Device, software and graph of compiled engines. They run only where these match.

    Args:
        runtime: that compiled them, "TensorRT" or "TensorRT-RTX".
        version: of the runtime, e.g. "10.3.0".
        gpu: name of the GPU, e.g. "Orin"; "" if they were built for GPUs of other machines.
        compute_capability: of the GPU, e.g. "8.7"; "" likewise.
        driver: newest CUDA version that the driver supports, e.g. "12.6"; "" likewise.
        onnx: SHA-256 of the graph that was compiled.
        jetpack: JetPack release of a Jetson; "" elsewhere.
        calibration: SHA-256 of the INT8 calibration inputs; "" for other precisions.
        hardware_compatible: compiled for GPUs of other compute capabilities too.
        version_compatible: compiled for later versions of the runtime too.
        dla: DLA core that it runs on; None for the GPU.
        compute_capabilities: of the GPUs that TensorRT for RTX built for; empty for all from 8.0 on.
        layers: input size, e.g. "64x64" -> kernels of a call, and its convolutions and matrix products by the precision
            that is executed, e.g. {"kernels": 16, "fp16": 10}; as the builder reports them.
        jetson: settings of the Jetson while it was timed, e.g. {"power_mode": "MAXN"}; only its "model" is compared.
        platform: operating system and processor, e.g. "linux-aarch64"; "" on cards of earlier releases.
        multiprocessors: of the GPU; 0 on cards of earlier releases.
    """

    runtime: str
    version: str
    gpu: str
    compute_capability: str
    driver: str
    onnx: str
    jetpack: str = ""
    calibration: str = ""
    hardware_compatible: bool = False
    version_compatible: bool = False
    dla: int | None = None
    compute_capabilities: tuple[str, ...] = ()
    layers: dict[str, dict[str, int]] = field(default_factory=dict)
    jetson: dict[str, Any] = field(default_factory=dict)
    platform: str = ""
    multiprocessors: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "compute_capabilities", _texts(self.compute_capabilities))  # JSON has lists only
        if problem := _problem(self):
            raise BundleError(f"engine info needs {problem}")

    @property
    def target(self) -> str:
        """The GPUs that they run on, for the user."""
        if self.runtime != RTX:
            return self.gpu
        return f"compute capabilities {', '.join(self.compute_capabilities) or 'from 8.0 on'}"

    @property
    def board(self) -> str:
        """Model of the Jetson; "" elsewhere, and in containers that hide it."""
        return str(self.jetson.get("model") or "")


def _texts(values: object) -> Any:
    """A list as a tuple; anything else as it is, to be rejected."""
    return tuple(values) if isinstance(values, list) else values


def _problem(info: EngineInfo) -> str:
    """What a card, which may come from a stranger, must state of its engines and does not; "" if all is valid."""
    device = (info.gpu, info.compute_capability, info.driver)
    texts = (info.runtime, info.version, info.onnx, *device, info.jetpack, info.calibration, info.platform)
    if not all(isinstance(text, str) for text in texts):
        return "text for everything but its options, counts and settings"
    if not all((info.runtime, info.version, info.onnx, *(() if info.runtime == RTX else device))):
        return "runtime, version, gpu, compute_capability, driver and onnx"
    if not _numbers(info.version):
        return f"a version such as 10.3.0, got {info.version}"
    if not all(type(value) is bool for value in (info.hardware_compatible, info.version_compatible)):
        return "true or false for hardware_compatible and version_compatible"
    if not _is_count(info.multiprocessors) or not (info.dla is None or _is_count(info.dla)):
        return "whole numbers for multiprocessors and dla"
    if not isinstance(info.compute_capabilities, tuple) or not all(map(_is_capability, info.compute_capabilities)):
        return 'compute_capabilities such as ["8.6", "8.9"]'
    if not isinstance(info.jetson, dict) or not _is_layers(info.layers):
        return "jetson and layers as documented"
    return ""


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_capability(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9]+\.[0-9]+", value) is not None


def _is_layers(value: object) -> bool:
    """{"64x64": {"kernels": 16}}."""
    return isinstance(value, dict) and all(
        isinstance(counts, dict) and all(map(_is_count, counts.values())) for counts in value.values()
    )


def mismatches(engine: EngineInfo, current: EngineInfo) -> tuple[str, ...]:
    """Compare the device and graph of an engine with those of an engine that would be compiled now.

    Returns:
        One message for each mismatch; empty if the engine can run. The driver and JetPack are not compared: TensorRT
        checks its own version and the GPU, and a driver too old for either fails when the engine is loaded. Platform,
        multiprocessors and board are compared where both are known.
    """
    messages = []
    if engine.onnx != current.onnx:
        messages.append("it was compiled from another graph than the bundle's")
    if engine.calibration != current.calibration:
        messages.append("it was calibrated on other inputs than the card's")
    if engine.runtime != current.runtime:
        messages.append(f"it was compiled by {engine.runtime}, this is {current.runtime}")
    elif engine.version != current.version and not (
        engine.version_compatible and _is_forward_compatible(engine.version, current.version)
    ):
        messages.append(f"it was compiled by {engine.runtime} {engine.version}, this is {current.version}")
    if _differ(engine.platform, current.platform):
        messages.append(f"it was compiled on {engine.platform}, this is {current.platform}")
    return (*messages, *_gpu_mismatches(engine, current))


def _gpu_mismatches(engine: EngineInfo, current: EngineInfo) -> Iterator[str]:
    """At most one message; "Orin" of compute capability 8.7 is the name of boards with 4 to 16 multiprocessors."""
    if engine.runtime == RTX:
        yield from _missing_capability(engine, current)
    elif engine.hardware_compatible and current.jetpack:
        yield "it is hardware-compatible, which TensorRT does not support on a Jetson"
    elif engine.compute_capability != current.compute_capability and not (
        engine.hardware_compatible and _numbers(current.compute_capability) >= AMPERE
    ):
        yield (
            f"it was compiled for compute capability {engine.compute_capability} ({engine.gpu}), "
            f"this GPU has {current.compute_capability} ({current.gpu})"
        )
    elif engine.hardware_compatible:
        return
    elif engine.gpu != current.gpu:
        yield f"it was compiled for {engine.gpu}, this GPU is {current.gpu}"
    elif _differ(engine.board, current.board):
        yield f"it was compiled on {engine.board}, this is {current.board}"
    elif _differ(engine.multiprocessors, current.multiprocessors):
        mode = current.jetson.get("power_mode")
        yield (
            f"it was compiled for {engine.multiprocessors} multiprocessors, "
            f"this GPU has {current.multiprocessors}{f' in power mode {mode}' if mode else ''}"
        )


def _differ(built: str | int, current: str | int) -> bool:
    return bool(built and current) and built != current


AMPERE = (8, 0)
"""Minimum compute capability of hardware-compatible engines: TensorRT supports them from Ampere on."""


def runs_on(capabilities: Sequence[str], capability: str) -> bool:
    """Whether engines that TensorRT for RTX built for compute capabilities, by default an empty list, run on a GPU."""
    return capability in (capabilities or RTX_CAPABILITIES[1:])


def _missing_capability(engine: EngineInfo, current: EngineInfo) -> list[str]:
    """A message if TensorRT for RTX did not build for this GPU."""
    capability = current.compute_capability
    if runs_on(engine.compute_capabilities, capability):
        return []
    return [f"it was compiled for {engine.target}, this GPU has {capability} ({current.gpu})"]


def _is_forward_compatible(built: str, current: str) -> bool:
    """Whether a version-compatible engine runs: TensorRT guarantees later versions of the same or next major one."""
    old, new = _numbers(built), _numbers(current)
    return new >= old and new[0] - old[0] <= 1


def _numbers(version: str) -> tuple[int, ...]:
    """10.3.0.post1 -> (10, 3, 0)."""
    return tuple(int(part) for part in takewhile(str.isdecimal, version.split(".")))
