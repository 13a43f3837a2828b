"""What a compiled engine was made for, and whether that is what is here: the card's key, compared in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import BundleError


@dataclass(frozen=True)
class EngineInfo:
    """A device, its software and the graph: an engine runs where all of them are as they were.

    Args:
        runtime: that compiled it, e.g. "TensorRT".
        version: of the runtime, e.g. "10.3.0".
        gpu: name of the GPU, e.g. "Orin".
        compute_capability: of the GPU, e.g. "8.7".
        driver: newest CUDA that the driver serves, e.g. "12.6".
        jetpack: release of a Jetson's software; "" elsewhere.
        onnx: SHA-256 of the graph that was compiled.
        calibration: SHA-256 of what INT8 was calibrated on; "" for other precisions.
        any_gpu: compiled for GPUs of other compute capabilities too.
        any_version: compiled for later versions of the runtime too.
        dla: the DLA core that it runs on; none for the GPU.
        board: what was set when it was timed, e.g. {"power_mode": "MAXN"}; nothing depends on it.
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
    board: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        words = (self.runtime, self.version, self.gpu, self.compute_capability, self.driver, self.onnx)
        if not all(isinstance(word, str) and word for word in words) or not isinstance(self.board, dict):
            raise BundleError("the key of an engine needs runtime, version, gpu, compute_capability, driver and onnx")


def mismatches(made: EngineInfo, here: EngineInfo) -> tuple[str, ...]:
    """Why an engine cannot be trusted to run here, in words.

    Args:
        made: what it was compiled for.
        here: what an engine compiled now would be for; what is known only of an engine is taken from `made`.

    Returns:
        One clause for each mismatch, none where it runs. Another driver or JetPack is no reason of its own: TensorRT
        asks for its own version and the GPU's, and a driver too old for either says so when the engine is loaded.
    """
    told = []
    if made.onnx != here.onnx:
        told.append("it was compiled from another graph than the one beside it")
    if made.calibration != here.calibration:
        told.append("it was calibrated on other faces than the card says")
    if made.runtime != here.runtime:
        told.append(f"it was compiled by {made.runtime}, this is {here.runtime}")
    elif made.version != here.version and not (made.version_compatible and _later(here.version, made.version)):
        told.append(f"it was compiled by {made.runtime} {made.version}, this is {here.version}")
    if made.compute_capability != here.compute_capability and not (
        made.hardware_compatible and _numbers(here.compute_capability) >= AMPERE
    ):
        told.append(
            f"it was compiled for compute capability {made.compute_capability} ({made.gpu}), "
            f"this GPU has {here.compute_capability} ({here.gpu})"
        )
    elif made.gpu != here.gpu and not made.hardware_compatible:
        told.append(f"it was compiled for {made.gpu}, this GPU is {here.gpu}")
    return tuple(told)


AMPERE = (8, 0)
"""Least compute capability of engines for any GPU: TensorRT's hardware compatibility begins with Ampere."""


def _later(version: str, than: str) -> bool:
    """Whether an engine that allows it runs in a later version: the same major one or the next, TensorRT promises."""
    ours, theirs = _numbers(version), _numbers(than)
    return ours >= theirs and ours[0] - theirs[0] <= 1


def _numbers(version: str) -> tuple[int, ...]:
    """10.3.0.post1 -> (10, 3, 0)."""
    parts = []
    for part in version.split("."):
        if not part.isdigit():
            break
        parts.append(int(part))
    return tuple(parts)
