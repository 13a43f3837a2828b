"""What goes into an engine and what comes out: the part of a card that a session needs to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .errors import BundleError

Task = Literal["super-resolution", "face-detection"]

WINDOWS = (32, 48, 64, 96, 128)
"""Sides of the crops that engines are made for, in pixels of the frame."""
BATCHES = (1, 2, 4, 8)
"""Faces a call; with the windows, all the shapes that an engine ever sees, so that memory stays flat."""


CALL_PIXELS = 20_000
"""Most pixels of a call with several faces. More gain nothing on a CPU and fill the memory with features: 8 crops of
128 pixels need gigabytes in a network that is 64 channels wide."""


@dataclass(frozen=True)
class Contract:
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
        size_hw: for detection, the one size that a fixed graph takes; none where any will do.
    """

    task: Task
    scale: int = 1
    windows: tuple[int, ...] = ()
    batches: tuple[int, ...] = (1,)
    multiple: int = 1
    size_hw: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.task not in ("super-resolution", "face-detection"):
            raise BundleError(f"unknown task '{self.task}' in a contract; expected super-resolution or face-detection")
        if self.task == "super-resolution" and (self.scale < 2 or not self.windows or 1 not in self.batches):
            raise BundleError("a super-resolution contract needs a scale of 2 or more, windows, and a batch of 1")

    def batches_of(self, height: int, width: int) -> tuple[int, ...]:
        """Sizes of the calls with pictures of this height and width, in pixels."""
        return tuple(n for n in self.batches if n == 1 or n * height * width <= CALL_PIXELS)


def super_resolution(scale: int) -> Contract:
    """The contract of every super-resolution network here."""
    return Contract("super-resolution", scale=scale, windows=WINDOWS, batches=BATCHES)


def split_batch(count: int, batches: tuple[int, ...]) -> list[int]:
    """Split a number of faces into the fewest calls of the given sizes without padding: 7 -> [4, 2, 1]."""
    calls: list[int] = []
    for size in sorted(batches, reverse=True):
        while count >= size:
            calls.append(size)
            count -= size
    return calls
