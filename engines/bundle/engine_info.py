"""What a compiled engine was built for, and whether it can run on this device."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from ..errors import BundleError


@dataclass(frozen=True)
class EngineInfo:
    """Device, software and graph of a compiled engine. An engine runs only where they match.

    Args:
        runtime: that compiled it, e.g. "TensorRT".
        version: of the runtime, e.g. "10.3.0".
        gpu: name of the GPU, e.g. "Orin".
        compute_capability: of the GPU, e.g. "8.7".
        driver: newest CUDA version that the driver supports, e.g. "12.6".
        onnx: SHA-256 of the graph that was compiled.
        jetpack: JetPack release of a Jetson; "" elsewhere.
        calibration: SHA-256 of the INT8 calibration inputs; "" for other precisions.
        hardware_compatible: compiled for GPUs of other compute capabilities too.
        version_compatible: compiled for later versions of the runtime too.
        dla: DLA core that it runs on; None for the GPU.
        jetson: settings of the Jetson while it was timed, e.g. {"power_mode": "MAXN"}; not compared.
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
    jetson: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        required = (self.runtime, self.version, self.gpu, self.compute_capability, self.driver, self.onnx)
        if not all(isinstance(text, str) and text for text in required) or not isinstance(self.jetson, dict):
            raise BundleError("engine info needs runtime, version, gpu, compute_capability, driver and onnx")


def mismatches(engine: EngineInfo, current: EngineInfo) -> tuple[str, ...]:
    """Compare the device and graph of an engine with those of an engine that would be compiled now.

    Returns:
        One message for each mismatch; empty if the engine can run. The driver and JetPack are not compared: TensorRT
        checks its own version and the GPU, and a driver too old for either fails when the engine is loaded.
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
    if engine.compute_capability != current.compute_capability and not (
        engine.hardware_compatible and _numbers(current.compute_capability) >= AMPERE
    ):
        messages.append(
            f"it was compiled for compute capability {engine.compute_capability} ({engine.gpu}), "
            f"this GPU has {current.compute_capability} ({current.gpu})"
        )
    elif engine.gpu != current.gpu and not engine.hardware_compatible:
        messages.append(f"it was compiled for {engine.gpu}, this GPU is {current.gpu}")
    return tuple(messages)


AMPERE = (8, 0)
"""Minimum compute capability of hardware-compatible engines: TensorRT supports them from Ampere on."""


def _is_forward_compatible(built: str, current: str) -> bool:
    """Whether a version-compatible engine runs: TensorRT guarantees later versions of the same or next major one."""
    old, new = _numbers(built), _numbers(current)
    return new >= old and new[0] - old[0] <= 1


def _numbers(version: str) -> tuple[int, ...]:
    """10.3.0.post1 -> (10, 3, 0)."""
    return tuple(int(part) for part in takewhile(str.isdigit, version.split(".")))
