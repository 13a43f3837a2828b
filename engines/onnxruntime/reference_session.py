"""A bundle that borrows from a library of other faces, in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.bundle import EMBEDDING, Bundle
from ..bundle.io_spec import split_batch
from ..errors import UsageError
from ..session import LayerTime
from .reference_library import Library
from .session import OrtGraph, OrtSession, layer_times

MAX_REFERENCES = 4
"""References of a face where nothing is said; the paper finds four the best."""
Describe = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(N, s, s, 3) uint8 BGR small faces -> (N, E) where they stand in a library."""


class ReferenceSession:
    """For each face the nearest entries of a library are handed to the graph with it; a `Session`.

    Args:
        bundle: what to run.
        library: of the same network.
        most: entries for a face, 1 to what the contract takes.
        threads: of one call; 0 for one a core.
        describe: how a small face is compared; none for the bundle's own graph.

    Raises:
        UsageError: a number of references that the network does not take.
    """

    def __init__(
        self,
        bundle: Bundle,
        library: Library,
        most: int = MAX_REFERENCES,
        threads: int = 0,
        describe: Describe | None = None,
    ) -> None:
        check_max_references(bundle, most)
        self._plain = OrtSession(bundle, threads)  # what checks, and tells its name
        self.io_spec, self._path, self._threads = self._plain.io_spec, bundle.onnx, threads
        self.library, self._slots = library, min(most, len(library))
        side = self.io_spec.windows[0]
        self._graph = OrtGraph(bundle.onnx, threads, {"height": side, "width": side})
        self._points = None if describe else OrtGraph(bundle.folder / EMBEDDING, threads)
        self._describe = describe
        self._held: tuple[NDArray[Any], ...] = ()
        self.runtime = f"{self._plain.runtime}, {self._slots} references a face of {len(library)}"

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        """See `Session.infer`."""
        self.io_spec.check(batch)
        parts = [self._graph.run(*given)[0] for given in self._given(batch)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def near(self, batch: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Which entries of the library each face of a batch borrows from, (N, R), the nearest first."""
        points = self._describe(batch) if self._describe else self._embedded(batch)
        return self.library.nearest(points, self._slots)

    def layer_times(self, batch: NDArray[np.uint8], runs: int = 10) -> tuple[LayerTime, ...]:
        """See `Session.layer_times`."""
        self.io_spec.check(batch)
        given = next(self._given(batch))
        return layer_times(self._path, given[0], runs, self._threads, None, given[1:])

    def warm_up(self) -> None:
        """See `Session.warm_up`."""
        side = self.io_spec.windows[0]
        for count in self.io_spec.batches_of(side, side):
            self.infer(np.zeros((count, side, side, 3), np.uint8))

    def close(self) -> None:
        """See `Session.close`."""
        self._plain.close()
        self._graph.close()
        if self._points:
            self._points.close()
        self._held = ()

    def _embedded(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert self._points is not None
        return np.asarray(self._points.run(batch)[0], np.float32)

    def _given(self, batch: NDArray[np.uint8]) -> Iterator[tuple[NDArray[Any], ...]]:
        """What the graph is fed, call after call; the arrays of references are the same ones, filled anew."""
        near, start = self.near(batch), 0
        for size in split_batch(len(batch), self.io_spec.batches_of(*batch.shape[1:3])):
            keys, values, present = (array[:size] for array in self._buffers(size))
            for face, entries in enumerate(near[start : start + size]):
                for slot, entry in enumerate(entries):
                    keys[face, slot], values[face, slot] = self.library.keys[entry], self.library.values[entry]
            yield batch[start : start + size], keys, values, present
            start += size

    def _buffers(self, count: int) -> tuple[NDArray[Any], ...]:
        """Keys, values and presence for so many faces or more."""
        if not self._held or len(self._held[0]) < count:
            shape, library = (count, self._slots), self.library
            keys, values = (np.zeros(shape + kept.shape[1:], np.float16) for kept in (library.keys, library.values))
            self._held = keys, values, np.ones(shape, np.float32)
        return self._held


def check_max_references(bundle: Bundle, most: int) -> None:
    """Refuse a number of references that a bundle does not take.

    Raises:
        UsageError: fewer than one, or more than the contract's.
    """
    if not 1 <= most <= bundle.card.io_spec.references:
        raise UsageError(f"expected 1 to {bundle.card.io_spec.references} references a face, got {most}")
