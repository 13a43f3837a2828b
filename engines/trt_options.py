"""How an engine is compiled: what may be chosen, and what that is in TensorRT's words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .contract import Contract
from .errors import BuildError, UsageError

LEVELS = range(6)
"""TensorRT's builder optimisation levels; the higher, the longer it searches."""
SIZES_HW = ((384, 640), (480, 640), (544, 960), (736, 1280), (1088, 1920))
"""Pictures that a detector is compiled for where nobody says: of 360p, VGA, 720p and 1080p cameras, padded, and half of
the last, in which faces from 20 px are looked for."""

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class CompileOptions:
    """How an engine is compiled.

    Args:
        workspace_mb: most scratch memory of a kernel, in MiB; none for all that the GPU has, as TensorRT does.
        builder_level: one of `LEVELS`.
        any_gpu: for every GPU from Ampere on, instead of for this one; slower.
        any_version: loadable by later versions of TensorRT; slower, and the engine then holds code for the host.
        dla: run what can be run on this DLA core, the rest on the GPU; none for the GPU alone. Single pictures only,
            for a DLA takes one shape an engine.
        timing_cache: folder where what kernels take is kept from build to build; none to keep nothing.
        tf32: let FP32 convolutions round their inputs to TF32; then the engine is no FP32 reference.
        sizes_hw: for detection, height and width of the pictures it is compiled for.
        log_file: every message of TensorRT goes there, the verbose ones too.

    Raises:
        UsageError: a number that cannot be meant.
    """

    workspace_mb: int | None = None
    builder_level: int = 3
    any_gpu: bool = False
    any_version: bool = False
    dla: int | None = None
    timing_cache: Path | None = None
    tf32: bool = False
    sizes_hw: tuple[tuple[int, int], ...] = SIZES_HW
    log_file: Path | None = None

    def __post_init__(self) -> None:
        if self.builder_level not in LEVELS:
            raise UsageError(f"expected a builder level of 0 to {LEVELS[-1]}, got {self.builder_level}")
        if self.workspace_mb is not None and self.workspace_mb < 1:
            raise UsageError(f"expected a workspace of 1 MiB or more, got {self.workspace_mb}")
        if self.dla is not None and self.dla < 0:
            raise UsageError(f"expected a DLA core from 0 on, got {self.dla}")


def profiles(contract: Contract, options: CompileOptions) -> tuple[tuple[Shape, Shape, Shape], ...]:
    """Shapes that an engine is compiled for: least, usual and largest of each optimisation profile, (N, H, W, 3).

    Raises:
        UsageError: a size that the contract does not allow.
    """
    sides = [(side, side) for side in contract.windows]
    sizes = sides or list(contract.sizes_hw or options.sizes_hw)
    odd = [(h, w) for h, w in sizes if min(h, w) < 1 or h % contract.multiple or w % contract.multiple]
    if odd or not sizes:
        came = ", ".join(f"{w}x{h}" for h, w in odd) or "none"
        raise UsageError(f"expected sizes that are a multiple of {contract.multiple}, got {came}; pad them")
    found = []
    for height, width in dict.fromkeys(sizes):
        most = max(contract.batches_of(height, width)) if contract.windows and options.dla is None else 1
        usual = (most, height, width, 3)
        found.append(((1, height, width, 3), usual, usual))
    return tuple(found)


def config_from(trt: Any, builder: Any, options: CompileOptions) -> Any:
    """TensorRT's configuration of a build.

    Args:
        trt: the TensorRT module.
        builder: a `Builder`.
        options: how to compile.

    Raises:
        BuildError: this device has no such DLA core.
    """
    config = builder.create_builder_config()
    config.builder_optimization_level = options.builder_level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # names of layers, for the profiler
    if options.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.any_gpu:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.any_version:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.dla is not None:
        if options.dla >= builder.num_DLA_cores:
            raise BuildError(
                f"expected a DLA core below {builder.num_DLA_cores}, the number that this device has, "
                f"got {options.dla}; leave --dla out to build for the GPU"
            )
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = options.dla
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    return config
