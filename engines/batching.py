"""Split batches into calls of the sizes that an engine accepts, and check thread counts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from numpy.typing import NDArray

from .bundle.io_spec import IOSpec
from .errors import UsageError

MAX_THREADS = 256


def check_threads(threads: int) -> None:
    """Raise a UsageError unless 0 <= threads <= `MAX_THREADS`: each takes memory as soon as a session is loaded."""
    if not 0 <= threads <= MAX_THREADS:
        raise UsageError(f"expected 0 (one per core) to {MAX_THREADS} threads, got {threads}")


def split_batch(count: int, batches: tuple[int, ...]) -> list[int]:
    """Split a number of faces into the fewest calls of the given sizes without padding: 7 -> [4, 2, 1]."""
    calls: list[int] = []
    for size in sorted(batches, reverse=True):
        calls += [size] * (count // size)
        count %= size
    return calls


def calls_of(batch: NDArray[Any], io_spec: IOSpec) -> list[slice]:
    """The part of a batch, (N, H, W, 3) uint8 BGR, that each call runs, in order.

    Raises:
        EngineError: a batch that the I/O spec does not accept.
    """
    io_spec.check(batch)
    sizes = split_batch(len(batch), io_spec.batches_of(*batch.shape[1:3]))
    return [slice(stop - size, stop) for size, stop in zip(sizes, accumulate(sizes), strict=True)]


def shapes_of(io_spec: IOSpec) -> Iterator[tuple[int, int, int, int]]:
    """Every input shape (N, H, W, 3); for a detector the largest size only, or the smallest if any is accepted."""
    detector_hw = io_spec.largest_hw or (io_spec.multiple, io_spec.multiple)
    for height, width in [(side, side) for side in io_spec.crop_sizes] or [detector_hw]:
        for count in io_spec.batches_of(height, width):
            yield count, height, width, 3
