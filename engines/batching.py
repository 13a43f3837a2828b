"""Split batches into calls: of the sizes that an engine accepts, or of one face for several workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from .bundle.io_spec import IOSpec
from .errors import UsageError
from .inputs import NO_INPUTS, Inputs, rows_of
from .workers import Workers

MAX_THREADS = 256
T = TypeVar("T")


def check_threads(threads: int) -> None:
    """Raise a UsageError unless 0 <= threads <= `MAX_THREADS`: each takes memory as soon as a session is loaded."""
    if not isinstance(threads, int) or not 0 <= threads <= MAX_THREADS:
        raise UsageError(f"expected 0 (one per core) to {MAX_THREADS} threads, got {threads!r}")


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


class Call(NamedTuple):
    """A part of one of several batches.

    Args:
        batch: index of the batch.
        start, stop: first row of the batch, and the row after the last.
    """

    batch: int
    start: int
    stop: int

    @property
    def rows(self) -> slice:
        """Rows of the batch."""
        return slice(self.start, self.stop)

    def of(self, batches: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The part of the batch; a view."""
        return batches[self.batch][self.rows]

    def inputs_of(self, inputs: Sequence[Inputs]) -> Inputs:
        """The part of the batch's other inputs, see `MultiInputSession`; views."""
        return rows_of(inputs[self.batch], self.rows) if inputs else NO_INPUTS


def plan_calls(batches: Sequence[NDArray[Any]], io_spec: IOSpec, workers: int) -> tuple[list[Call], list[Call]]:
    """Calls to run one after another, each on all threads, and calls to run at once on several workers.

    Args:
        batches: as for `Session.infer_batches`.
        io_spec: of the engine.
        workers: number of workers; with one, every batch runs in the fewest calls, see `calls_of`.
    """
    if workers > 1:
        return worker_calls(batches, io_spec, workers)
    slices = [(index, rows) for index, batch in enumerate(batches) for rows in calls_of(batch, io_spec)]
    return [Call(index, rows.start, rows.stop) for index, rows in slices], []


def worker_calls(batches: Sequence[NDArray[Any]], io_spec: IOSpec, workers: int) -> tuple[list[Call], list[Call]]:
    """Split batches into calls of one face, so that several workers have equal work.

    A face costs as much alone as in a batch: ``edge-tiny-x4-camera`` in INT8 takes 3.02 ms of CPU time for one face of
    64 px, and 2.92 ms for each of four in a batch. Depends on the sizes only, so results do not depend on timing.

    Args:
        batches: as for `Session.infer_batches`.
        io_spec: of the engine.
        workers: number of workers, 2 or more.

    Returns:
        Calls to run one after another, each on all threads: the largest, which would occupy one worker while the others
        have nothing to do. And calls for the workers, largest first.
    """
    for batch in batches:
        io_spec.check(batch)
    calls = [Call(index, n, n + 1) for index, batch in enumerate(batches) for n in range(len(batch))]
    calls.sort(key=lambda call: -batches[call.batch].shape[1])
    pixels = [batches[call.batch].shape[1] ** 2 for call in calls]
    alone, rest = 0, sum(pixels)
    while alone < len(calls) and ((len(calls) - alone) % workers or pixels[alone] * workers > rest):
        rest -= pixels[alone]
        alone += 1
    return calls[:alone], calls[alone:]


def run_calls(
    batches: Sequence[NDArray[Any]],
    calls: tuple[list[Call], list[Call]],
    workers: Workers,
    run: Callable[[Call, int | None], T],
) -> list[list[T]]:
    """Run the calls of `plan_calls`.

    Args:
        batches: the input.
        calls: those to run one after another, and those for the workers.
        workers: run the latter.
        run: runs a call on all threads, if its second argument is None, or on the worker of that index.

    Returns:
        For each batch, the results of its calls in the order of the rows.
    """
    alone, shared = calls
    results = {call: run(call, None) for call in alone}

    def run_on(call: Call, worker: int) -> None:
        results[call] = run(call, worker)

    if shared:
        workers.run([partial(run_on, call) for call in shared])
    by_batch: list[list[T]] = [[] for _ in batches]
    for call in sorted(results):
        by_batch[call.batch].append(results[call])
    return by_batch


def warm_up_batches(io_spec: IOSpec, workers: int) -> Iterator[NDArray[np.uint8]]:
    """Batches after which a session has prepared everything that it needs: with one worker, those of `shapes_of`."""
    for shape in shapes_of(io_spec):
        if workers == 1 or shape[0] == 1:
            yield np.zeros(shape, np.uint8)
    for side in io_spec.crop_sizes if workers > 1 else ():
        yield np.zeros((workers, side, side, 3), np.uint8)


def shapes_of(io_spec: IOSpec) -> Iterator[tuple[int, int, int, int]]:
    """Every input shape (N, H, W, 3); for a detector the largest size only, or the smallest if any is accepted."""
    detector_hw = io_spec.largest_hw or (io_spec.multiple, io_spec.multiple)
    for height, width in [(side, side) for side in io_spec.crop_sizes] or [detector_hw]:
        for count in io_spec.batches_of(height, width):
            yield count, height, width, 3
