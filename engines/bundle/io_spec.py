"""What goes into an engine and what comes out: the part of a card that a session needs to run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError, EngineError

Task = Literal["super-resolution", "face-detection"]

CROP_SIZES = (32, 48, 64, 96, 128)
"""Sides of the crops that engines are made for, in pixels of the frame."""
SMALL_CROP_SIZES = (16, 32, 48, 64)
"""The same for an enlargement by 8: of faces that have so few pixels, and of results that are still of a size."""
BATCHES = (1, 2, 4, 8)
"""Faces a call; with the windows, all the shapes that an engine ever sees, so that memory stays flat."""


MAX_CALL_PIXELS = 20_000
"""Most pixels of a call with several faces. More gain nothing on a CPU and fill the memory with features: 8 crops of
128 pixels need gigabytes in a network that is 64 channels wide."""


@dataclass(frozen=True)
class IOSpec:
    """Shapes of an engine. Pixels in: (N, H, W, 3) uint8 BGR, whatever the task.

    Out: for super-resolution (N, scale·H, scale·W, 3) uint8 BGR. For face detection (N, A, 15) float32, one row a cell
    of the strides 8, 16 and 32, rows before columns: score in 0..1, centre and log size in strides, and five
    landmarks in strides, the centre and the landmarks counted from the cell's corner.

    Args:
        task: what the engine does.
        scale: enlargement; 1 for a detector.
        windows: for super-resolution, the sides H = W it takes.
        batches: the N it takes.
        multiple: for detection, what H and W must be a multiple of.
        sizes_hw: for detection, the sizes that the engine was made for; none where any will do.
        references: for super-resolution, most faces of a library that a face may borrow from; 0 where it borrows from
            none. With them the graph has more inputs: keys (N, R, L, P) and values (N, R, L, V) float16, and present
            (N, R) float32, 1 for a reference, 0 for an empty slot; R from 1 to this.
    """

    task: Task
    scale: int = 1
    windows: tuple[int, ...] = ()
    batches: tuple[int, ...] = (1,)
    multiple: int = 1
    sizes_hw: tuple[tuple[int, int], ...] = ()
    references: int = 0

    def __post_init__(self) -> None:
        if self.task not in ("super-resolution", "face-detection"):
            raise BundleError(f"unknown task '{self.task}' in a contract; expected super-resolution or face-detection")
        sizes = (self.scale, self.multiple, *self.windows, *self.batches, *chain(*self.sizes_hw))
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise BundleError("a contract needs whole positive numbers for its scale, windows, batches and sizes")
        if 1 not in self.batches:
            raise BundleError("a contract needs a batch of 1, or some numbers of pictures could not be run")
        if self.task == "super-resolution" and (self.scale < 2 or not self.windows):
            raise BundleError("a super-resolution contract needs a scale of 2 or more, and windows")
        if not isinstance(self.references, int) or self.references < 0:
            raise BundleError(f"a contract needs a whole number of references, not {self.references}")

    def batches_of(self, height: int, width: int) -> tuple[int, ...]:
        """Sizes of the calls with pictures of this height and width, in pixels."""
        return tuple(n for n in self.batches if n == 1 or n * height * width <= MAX_CALL_PIXELS)

    def padded_hw(self, height: int, width: int) -> tuple[int, int]:
        """Height and width, in pixels, of the picture that a detector is given for one of this height and width."""
        least = self.multiple
        if not self.sizes_hw:
            return -(-height // least) * least, -(-width // least) * least
        fitting = [size for size in self.sizes_hw if size[0] >= height and size[1] >= width]
        return min(fitting, key=prod, default=max(self.sizes_hw, key=prod))

    @property
    def largest_hw(self) -> tuple[int, int] | None:
        """Height and width, in pixels, of the largest picture that a detector takes; none where any will do."""
        return max(self.sizes_hw, key=prod, default=None)

    def check(self, batch: NDArray[Any]) -> None:
        """Refuse a batch that the contract does not allow; any number of pictures is allowed but none.

        Raises:
            EngineError: what was expected, and what came.
        """
        if batch.ndim != 4 or batch.shape[3] != 3 or batch.dtype != np.uint8 or len(batch) == 0:
            raise EngineError(f"expected a batch of (N, H, W, 3) uint8, got {batch.shape} {batch.dtype}")
        _, height, width, _ = batch.shape
        if self.windows and (height != width or height not in self.windows):
            raise EngineError(f"expected square crops of {', '.join(map(str, self.windows))} px, got {width}x{height}")
        if self.sizes_hw and (height, width) not in self.sizes_hw:
            known = ", ".join(f"{w}x{h}" for h, w in self.sizes_hw)
            raise EngineError(f"expected {known} px, got {width}x{height}; pad the frame")
        if height % self.multiple or width % self.multiple or not height or not width:
            raise EngineError(
                f"expected sides that are a multiple of {self.multiple}, got {width}x{height}; pad the frame"
            )


def super_resolution(scale: int, windows: tuple[int, ...] = (), references: int = 0) -> IOSpec:
    """The contract of a super-resolution network.

    Args:
        scale: its enlargement.
        windows: sides of the crops, in pixels, for a network that does not take all that its scale allows.
        references: most faces of a library that it borrows from.
    """
    own = windows or (SMALL_CROP_SIZES if scale >= 8 else CROP_SIZES)
    return IOSpec("super-resolution", scale=scale, windows=own, batches=BATCHES, references=references)


def split_batch(count: int, batches: tuple[int, ...]) -> list[int]:
    """Split a number of faces into the fewest calls of the given sizes without padding: 7 -> [4, 2, 1]."""
    calls: list[int] = []
    for size in sorted(batches, reverse=True):
        while count >= size:
            calls.append(size)
            count -= size
    return calls
