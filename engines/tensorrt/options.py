"""Options of an engine build, and the input sizes that engines are built for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..bundle.bundle import Size
from ..bundle.engine_info import RTX_CAPABILITIES
from ..bundle.io_spec import IOSpec
from ..errors import UsageError
from ..inputs import InputSpec
from .api import RTX, TENSORRT, Product

LEVELS = range(6)
"""TensorRT's builder optimization levels; higher levels search longer."""
SIZES_HW = ((384, 640), (480, 640), (544, 960), (736, 1280), (1088, 1920))
"""Default input sizes of a detector: padded 360p, VGA, 720p and 1080p frames, and half of 1080p, in which faces from
20 px are detected."""

Shape = tuple[int, ...]
Profile = tuple[Shape, Shape, Shape]
"""Minimum, optimum and maximum shape of an input."""


@dataclass(frozen=True)
class CompileOptions:
    """Options of an engine build.

    Args:
        workspace_mb: maximum scratch memory of a kernel in MiB; None: all GPU memory, TensorRT's default.
        builder_level: one of `LEVELS`; None: TensorRT's default, 3.
        hardware_compatible: build for all GPUs from Ampere on instead of this one; slower. Not on a Jetson.
        version_compatible: loadable by later versions of TensorRT; slower, and the engine contains host code.
        dla: DLA core to run supported layers on, the rest falls back to the GPU; None: GPU only. FP16 and batch size 1
            only, since a DLA engine has a single shape.
        timing_cache: folder of timing caches, reused by later builds; None: no cache.
        tf32: allow TF32 in FP32 bundles too; the engine is then no FP32 reference.
        sizes_hw: for detection, (height, width) of the inputs.
        compute_capabilities: of the GPUs that TensorRT for RTX builds for, of `RTX_CAPABILITIES`; empty: its
            default, all from 8.0 on.
        log_file: receives every message of TensorRT, verbose ones included.

    Raises:
        UsageError: a value out of range.
    """

    workspace_mb: int | None = None
    builder_level: int | None = None
    hardware_compatible: bool = False
    version_compatible: bool = False
    dla: int | None = None
    timing_cache: Path | None = None
    tf32: bool = False
    sizes_hw: tuple[Size, ...] = SIZES_HW
    compute_capabilities: tuple[str, ...] = ()
    log_file: Path | None = None

    def __post_init__(self) -> None:
        if self.builder_level is not None and self.builder_level not in LEVELS:
            raise UsageError(f"expected a builder level of 0 to {LEVELS[-1]}, got {self.builder_level}")
        if self.workspace_mb is not None and self.workspace_mb < 1:
            raise UsageError(f"expected a workspace of at least 1 MiB, got {self.workspace_mb}")
        if self.dla is not None and self.dla < 0:
            raise UsageError(f"expected a DLA core of 0 or higher, got {self.dla}")
        unknown = [one for one in self.compute_capabilities if one not in RTX_CAPABILITIES]
        if unknown:
            raise UsageError(
                f"expected compute capabilities of {', '.join(RTX_CAPABILITIES)}, got {', '.join(unknown)}"
            )

    def check(self, product: Product, precision: str) -> None:
        """Check that the options apply to a product and to the precision of a bundle.

        Raises:
            UsageError: one does not.
        """
        if product is RTX:
            of_tensorrt = {
                "--workspace-mb": self.workspace_mb,
                "--builder-level": self.builder_level,
                "--hardware-compatible": self.hardware_compatible or None,
                "--version-compatible": self.version_compatible or None,
                "--dla": self.dla,
                "--timing-cache": self.timing_cache,
            }
            given = [name for name, value in of_tensorrt.items() if value is not None]
            if given:
                raise UsageError(f"{', '.join(given)} does not apply to {RTX.name}; leave it out")
        elif self.compute_capabilities:
            raise UsageError(
                f"--compute-capabilities applies to {RTX.name}, {TENSORRT.name} builds for the GPU of this machine; "
                f"leave it out, or build with --engine {RTX.engine}"
            )
        if self.dla is not None and precision != "fp16":
            raise UsageError(f"a DLA runs FP16 only here, the bundle is {precision.upper()}; build it with --fp16")


def sizes_of(io_spec: IOSpec, options: CompileOptions) -> tuple[Size, ...]:
    """Input sizes that engines are built for, one engine for each.

    Raises:
        UsageError: a size that the I/O specification does not allow.
    """
    sizes = [(side, side) for side in io_spec.crop_sizes] or list(io_spec.sizes_hw or options.sizes_hw)
    invalid = [(h, w) for h, w in sizes if min(h, w) < 1 or h % io_spec.multiple or w % io_spec.multiple]
    if invalid or not sizes:
        listed = ", ".join(f"{w}x{h}" for h, w in invalid) or "none"
        raise UsageError(f"expected sizes that are a multiple of {io_spec.multiple}, got {listed}; pad them")
    return tuple(dict.fromkeys(sizes))


def profile_of(io_spec: IOSpec, size: Size, options: CompileOptions, shape: Shape, name: str = "") -> Profile:
    """Optimization profile of an input of a network.

    Args:
        io_spec, options: of the build.
        size: height and width of the pixels.
        shape: of the input, -1 for dynamic sizes: (N, H, W, 3) for the pixels, (N, R, …) for references,
            (N, 2·k², H, W) for samples.
        name: of the input; "" for the pixels.
    """
    max_batch = max(io_spec.batches_of(*size)) if io_spec.crop_sizes and options.dla is None else 1

    def filled(count: int, references: int) -> Shape:
        dynamic: Shape = (count, *size, 3)
        if name:
            dynamic = InputSpec(name, shape, np.dtype(np.float32)).sized(dynamic, references)
        return tuple(value if known == -1 else known for value, known in zip(dynamic, shape, strict=True))

    references = max(io_spec.references, 1)
    return filled(1, 1), filled(max_batch, references), filled(max_batch, references)
