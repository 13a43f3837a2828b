"""A batch -> the calls that a runtime on the CPU makes of it, and the threads that each of them may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from .bundle.io_spec import Contract, split_batch
from .errors import UsageError

MOST_THREADS = 256


def check_threads(threads: int) -> None:
    """Refuse a number of threads that cannot be meant: each takes memory of its own before it does anything.

    Raises:
        UsageError: fewer than none, or more than `MOST_THREADS`.
    """
    if not 0 <= threads <= MOST_THREADS:
        raise UsageError(f"expected 0 (one a core) to {MOST_THREADS} threads, got {threads}")


def calls_of(batch: NDArray[Any], contract: Contract) -> list[slice]:
    """The pictures of each call, in order.

    Args:
        batch: (N, H, W, 3) uint8 BGR.
        contract: says which shapes there are, and how many pictures go into a call.

    Raises:
        EngineError: the contract does not allow the batch.
    """
    contract.check(batch)
    calls, start = [], 0
    for size in split_batch(len(batch), contract.batches_of(*batch.shape[1:3])):
        calls.append(slice(start, start + size))
        start += size
    return calls


def shapes_of(contract: Contract) -> Iterator[tuple[int, int, int, int]]:
    """Every shape (N, H, W, 3) of a call; of a detector the largest, or the smallest where any will do."""
    least = contract.largest_hw or (contract.multiple, contract.multiple)
    for height, width in [(side, side) for side in contract.windows] or [least]:
        for count in contract.batches_of(height, width):
            yield count, height, width, 3
