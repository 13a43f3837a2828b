"""Reference-based super-resolution in ONNX Runtime: each face uses features of similar faces from a library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batching import calls_of
from ..bundle.bundle import EMBEDDING, ONNX, Bundle
from ..errors import UsageError
from ..session import LayerTime, Output, concatenated
from .reference_library import Library
from .session import OrtGraph, OrtSession, layer_times

MAX_REFERENCES = 4
"""Default number of references per face; the paper reports the best results with four."""
Describe = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(N, s, s, 3) uint8 BGR small faces -> (N, E) embeddings in the space of the library."""


class ReferenceSession:
    """Passes the nearest entries of a library to the graph with each face; implements `Session`.

    Args:
        bundle: to run.
        library: of the same network.
        max_references: entries per face, from 1 to the I/O spec's `references`.
        threads: CPU threads of one call; 0 for one per core.
        describe: embeds small faces; None for the bundle's embedding graph.

    Raises:
        UsageError: a number of references that the network does not accept.
    """

    def __init__(
        self,
        bundle: Bundle,
        library: Library,
        max_references: int = MAX_REFERENCES,
        threads: int = 0,
        describe: Describe | None = None,
    ) -> None:
        check_max_references(bundle, max_references)
        self._path, self._threads, self._content = bundle.onnx, threads, bundle.read_graph(ONNX)
        self._lock = Lock()
        self.precision: str = bundle.card.precision
        self.io_spec, self.library = bundle.card.io_spec, library
        self._slots = min(max_references, len(library))
        side = self.io_spec.crop_sizes[0]
        self._graph = OrtGraph(bundle.onnx, threads, {"height": side, "width": side}, content=self._content)
        path = bundle.folder / EMBEDDING
        self._embedding = None if describe else OrtGraph(path, threads, content=bundle.read_graph(EMBEDDING))
        self._describe = describe
        self._buffers: tuple[NDArray[Any], ...] = ()
        self.runtime = f"{OrtSession(bundle, threads).runtime}, {self._slots} references per face of {len(library)}"

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        return self._output(batch).tensor

    def infer_batches(self, batches: Sequence[NDArray[np.uint8]]) -> list[Output]:
        return [self._output(batch) for batch in batches]

    def _output(self, batch: NDArray[np.uint8]) -> Output:
        with self._lock:
            return self._run(batch)

    def _run(self, batch: NDArray[np.uint8]) -> Output:
        return concatenated([self._graph.infer(*inputs) for inputs in self._inputs(batch)])

    def nearest(self, batch: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Indices of the library entries for each face of a batch, (N, R), nearest first."""
        embeddings = self._describe(batch) if self._describe else self._embed(batch)
        return self.library.nearest(embeddings, self._slots)

    def layer_times(self, batch: NDArray[np.uint8], runs: int = 10) -> tuple[LayerTime, ...]:
        with self._lock:
            pixels, *references = next(self._inputs(batch))
            return layer_times(self._path, pixels, runs, self._threads, None, tuple(references), self._content)

    def warm_up(self) -> None:
        side = self.io_spec.crop_sizes[0]
        for count in self.io_spec.batches_of(side, side):
            self.infer(np.zeros((count, side, side, 3), np.uint8))

    def close(self) -> None:
        with self._lock:
            self._graph.close()
            if self._embedding:
                self._embedding.close()
            self._buffers, self._content = (), b""

    def _embed(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert self._embedding is not None
        return np.asarray(self._embedding.run(batch)[0], np.float32)

    def _inputs(self, batch: NDArray[np.uint8]) -> Iterator[tuple[NDArray[Any], ...]]:
        """The graph's inputs, call by call; the reference arrays are reused and filled anew for each call."""
        calls, nearest = calls_of(batch, self.io_spec), self.nearest(batch)
        for call in calls:
            keys, values, present = self._reference_buffers(call.stop - call.start)
            for face, entries in enumerate(nearest[call]):
                for slot, entry in enumerate(entries):
                    keys[face, slot], values[face, slot] = self.library.keys[entry], self.library.values[entry]
            yield batch[call], keys, values, present

    def _reference_buffers(self, count: int) -> tuple[NDArray[Any], ...]:
        """Keys, values and presence of `count` faces."""
        if not self._buffers or len(self._buffers[0]) < count:
            shape, library = (count, self._slots), self.library
            keys, values = (np.zeros(shape + part.shape[1:], np.float16) for part in (library.keys, library.values))
            self._buffers = keys, values, np.ones(shape, np.float32)
        return tuple(buffer[:count] for buffer in self._buffers)


def check_max_references(bundle: Bundle, max_references: int) -> None:
    """Raise a UsageError unless 1 <= max_references <= `references` of the bundle's I/O spec."""
    if not 1 <= max_references <= bundle.card.io_spec.references:
        raise UsageError(f"expected 1 to {bundle.card.io_spec.references} references per face, got {max_references}")
