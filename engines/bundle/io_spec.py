"""Input and output shapes of an engine: the part of a card that a session needs to run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError, EngineError
from ..inputs import REFERENCE_INPUTS, SAMPLES

STRIDES = (8, 16, 32)
"""Of a detector's output maps, in pixels."""
Task = Literal["super-resolution", "face-detection", "uncertainty"]

CROP_SIZES = (32, 48, 64, 80, 96, 112, 128)
"""Default side lengths of crops, in frame pixels. Steps of 16: for faces of 43 to 64 px, steps of 32 cost 1.18 times
the pixels, and steps of 8, which need twice the graphs, 0.91."""
SMALL_CROP_SIZES = (16, 32, 48, 64)
"""The same for ×8 upscaling: it is used for faces of fewer pixels, and the output stays of reasonable size."""
BATCHES = (1, 2, 4, 8)
"""Batch sizes. With the crop sizes they are all shapes that an engine ever runs, so memory stays constant."""
MAX_CALL_PIXELS = 20_000
"""Maximum pixels of a call with several faces. Larger calls are not faster on a CPU and need much memory for
activations: 8 crops of 128 px take gigabytes in a network of 64 channels."""
MAX_VALUES = {"scale": 16, "crop_sizes": 1024, "batches": 1024, "multiple": 1024, "sizes_hw": 16384}
"""Limits of an I/O spec, so that no input or output that an engine is checked with needs more than 1 GB."""
MAX_REFERENCES = 64
FRAMES, MAX_FRAMES = 7, 64
"""Crops of a track that multi-frame networks are trained with, and the largest number that a card may state."""


@dataclass(frozen=True)
class IOSpec:
    """Input and output shapes of an engine. The input of every task is (N, H, W, 3) uint8 BGR.

    Output of super-resolution: (N, scale·H, scale·W, 3) uint8 BGR. Output of face detection: (N, A, 15) float32, one
    row for each cell of the strides 8, 16 and 32 in row-major order: score in 0..1, center x, y and log width, height
    in units of the stride, and x, y of five landmarks in units of the stride. Center and landmarks are relative to the
    top left corner of the cell. An uncertainty head takes the upscaled crops (N, scale·H, scale·W, 3) uint8 BGR as its
    second input; its output is (N, scale·H, scale·W) float32, see `UncertaintySession`.

    Args:
        task: "super-resolution", "face-detection" or "uncertainty".
        scale: upscaling factor; 1 for a detector.
        crop_sizes: accepted sides H = W, for super-resolution.
        batches: accepted N.
        multiple: H and W must be multiples of this, for detection.
        sizes_hw: sizes that the engine was compiled for, for detection; empty if any size is accepted.
        references: maximum number of reference faces per face, for reference-based super-resolution; 0 for other
            networks. The graph then has more inputs: keys (N, R, L, P) and values (N, R, L, V) float16, and present
            (N, R) float32, 1 for a reference, 0 for an empty slot; 1 <= R <= `references`.
        frames: maximum number of crops of a track that a multi-frame network reads, the newest included; 1 for other
            networks. With more, the graph has another input, samples (N, 2·k², S, S) float32, k being the scale, see
            `multiframe.accumulation`; without it every face is made from its newest crop alone.
    """

    task: Task
    scale: int = 1
    crop_sizes: tuple[int, ...] = ()
    batches: tuple[int, ...] = (1,)
    multiple: int = 1
    sizes_hw: tuple[tuple[int, int], ...] = ()
    references: int = 0
    frames: int = 1

    def __post_init__(self) -> None:
        if self.task not in get_args(Task):
            raise BundleError(f"unknown task '{self.task}' in an I/O spec; expected {', '.join(get_args(Task))}")
        self._check_values()
        if 1 not in self.batches:
            raise BundleError("the batches of an I/O spec must include 1, or some batches could not be split")
        if self.task != "face-detection" and (self.scale < 2 or not self.crop_sizes):
            raise BundleError(f"the I/O spec of {self.task} needs a scale of 2 or more, and crop sizes")
        if self.frames > 1 and (self.task != "super-resolution" or self.references):
            raise BundleError("frames of an I/O spec: only super-resolution without references reads more than one")

    def _check_values(self) -> None:
        if any(len(size) != 2 for size in self.sizes_hw):
            raise BundleError("sizes_hw of an I/O spec must be pairs of height and width")
        values = {"scale": (self.scale,), "multiple": (self.multiple,), "sizes_hw": chain(*self.sizes_hw)}
        for name, limit in MAX_VALUES.items():
            for value in values.get(name) or getattr(self, name):
                if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= limit:
                    raise BundleError(f"{name} of an I/O spec: expected integers from 1 to {limit}, got {value!r}")
        if not isinstance(self.references, int) or not 0 <= self.references <= MAX_REFERENCES:
            raise BundleError(f"references of an I/O spec must be 0 to {MAX_REFERENCES}, got {self.references!r}")
        if not isinstance(self.frames, int) or isinstance(self.frames, bool) or not 1 <= self.frames <= MAX_FRAMES:
            raise BundleError(f"frames of an I/O spec must be 1 to {MAX_FRAMES}, got {self.frames!r}")

    @property
    def other_inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs besides the pixels, of references or of the samples of a track."""
        if self.references:
            return REFERENCE_INPUTS
        return (SAMPLES,) if self.frames > 1 else ()

    def batches_of(self, height: int, width: int) -> tuple[int, ...]:
        """Batch sizes allowed for images of this height and width, in pixels."""
        return tuple(n for n in self.batches if n == 1 or n * height * width <= MAX_CALL_PIXELS)

    def padded_hw(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a detector's input of this height and width is padded to, in pixels."""
        if not self.sizes_hw:
            return -(-height // self.multiple) * self.multiple, -(-width // self.multiple) * self.multiple
        large_enough = [size for size in self.sizes_hw if size[0] >= height and size[1] >= width]
        return min(large_enough, key=prod, default=max(self.sizes_hw, key=prod))

    @property
    def largest_hw(self) -> tuple[int, int] | None:
        """Height and width of a detector's largest input, in pixels; None if any size is accepted."""
        return max(self.sizes_hw, key=prod, default=None)

    def check_output(self, batch: NDArray[Any], output: NDArray[Any]) -> None:
        """Raise an EngineError unless an engine's output for a batch has the shape and dtype that the spec states."""
        count, height, width, _ = batch.shape
        dtype: type[Any] = np.uint8
        shape: tuple[int, ...] = (count, self.scale * height, self.scale * width, 3)
        if self.task == "uncertainty":
            shape, dtype = shape[:3], np.float32
        if self.task == "face-detection":
            shape, dtype = (count, sum((height // s) * (width // s) for s in STRIDES), 15), np.float32
        if output.shape != shape or output.dtype != dtype:
            raise EngineError(
                f"expected an output of {shape} {np.dtype(dtype)} for an input of {batch.shape}, as the card says, "
                f"got {output.shape} {output.dtype}; rebuild the bundle: facesr-edge build"
            )

    def check(self, batch: NDArray[Any]) -> None:
        """Raise an EngineError unless a batch has the shape and dtype of the input; any N of 1 or more is valid."""
        if batch.ndim != 4 or batch.shape[3] != 3 or batch.dtype != np.uint8 or len(batch) == 0:
            raise EngineError(f"expected a batch of (N, H, W, 3) uint8, got {batch.shape} {batch.dtype}")
        _, height, width, _ = batch.shape
        if self.crop_sizes and (height != width or height not in self.crop_sizes):
            sizes = ", ".join(map(str, self.crop_sizes))
            raise EngineError(f"expected square crops of {sizes} px, got {width}x{height}")
        if self.sizes_hw and (height, width) not in self.sizes_hw:
            sizes = ", ".join(f"{w}x{h}" for h, w in self.sizes_hw)
            raise EngineError(f"expected {sizes} px, got {width}x{height}; pad the frame")
        if height % self.multiple or width % self.multiple or not height or not width:
            raise EngineError(
                f"expected sides that are a multiple of {self.multiple}, got {width}x{height}; pad the frame"
            )


def super_resolution(scale: int, crop_sizes: tuple[int, ...] = (), references: int = 0, frames: int = 1) -> IOSpec:
    """The I/O spec of a super-resolution network.

    Args:
        scale: upscaling factor.
        crop_sizes: sides of the crops, in pixels; empty for the default of the scale.
        references: maximum number of reference faces per face.
        frames: maximum number of crops of a track, see `IOSpec`.
    """
    crop_sizes = crop_sizes or (SMALL_CROP_SIZES if scale >= 8 else CROP_SIZES)
    return IOSpec(
        "super-resolution", scale=scale, crop_sizes=crop_sizes, batches=BATCHES, references=references, frames=frames
    )
