"""A batch -> the calls that a runtime on the CPU makes of it, and the threads that each of them may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from .bundle.io_spec import IOSpec, split_batch
from .errors import UsageError

MAX_THREADS = 256


def check_threads(threads: int) -> None:
    """Refuse a number of threads that cannot be meant: each takes memory of its own before it does anything.

    Raises:
        UsageError: fewer than none, or more than `MAX_THREADS`.
    """
    if not 0 <= threads <= MAX_THREADS:
        raise UsageError(f"expected 0 (one a core) to {MAX_THREADS} threads, got {threads}")


def calls_of(batch: NDArray[Any], io_spec: IOSpec) -> list[slice]:
    """The pictures of each call, in order.

    Args:
        batch: (N, H, W, 3) uint8 BGR.
        contract: says which shapes there are, and how many pictures go into a call.

    Raises:
        EngineError: the contract does not allow the batch.
    """
    io_spec.check(batch)
    calls, start = [], 0
    for size in split_batch(len(batch), io_spec.batches_of(*batch.shape[1:3])):
        calls.append(slice(start, start + size))
        start += size
    return calls


def shapes_of(io_spec: IOSpec) -> Iterator[tuple[int, int, int, int]]:
    """Every shape (N, H, W, 3) of a call; of a detector the largest, or the smallest where any will do."""
    least = io_spec.largest_hw or (io_spec.multiple, io_spec.multiple)
    for height, width in [(side, side) for side in io_spec.windows] or [least]:
        for count in io_spec.batches_of(height, width):
            yield count, height, width, 3
