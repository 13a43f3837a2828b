"""Reference-based super-resolution in any runtime: each face uses features of similar faces from a library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batching import calls_of
from ..bundle.bundle import EMBEDDING, Bundle
from ..errors import EngineError, UsageError
from ..inputs import PRESENT, Inputs
from ..onnxruntime.session import OrtGraph
from ..session import CLOSED, LayerTime, MultiInputSession, Output, concatenated
from .library import Library

MAX_REFERENCES = 4
"""Default number of references per face; the paper reports the best results with four."""
Describe = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(N, s, s, 3) uint8 BGR small faces -> (N, E) embeddings in the space of the library."""


class ReferenceSession:
    """Passes the nearest entries of a library to a session with each face; implements `Session`.

    Args:
        session: of the network, in any runtime; closed with this one.
        library: of the same network.
        describe: embeds small faces.
        max_references: entries per face, from 1 to the I/O spec's `references`.
    """

    def __init__(
        self, session: MultiInputSession, library: Library, describe: Describe, max_references: int = MAX_REFERENCES
    ) -> None:
        self._session, self.library, self._describe = session, library, describe
        self.io_spec, self.precision = session.io_spec, session.precision
        self._slots, self._lock = min(max_references, len(library)), Lock()
        self._buffers: dict[str, NDArray[Any]] = {}
        self.runtime = f"{session.runtime}, {self._slots} references per face of {len(library)}"

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        return self.infer_batches([batch])[0].tensor

    def infer_batches(self, batches: Sequence[NDArray[np.uint8]]) -> list[Output]:
        with self._lock:
            if not batches:
                return self._session.infer_batches(batches)  # raises if it is closed
            return [self._output(batch) for batch in batches]

    def _output(self, batch: NDArray[np.uint8]) -> Output:
        """Run a batch in parts, as the references of all of its faces may not fit into memory."""
        parts = (self._session.infer_batches([faces], [references]) for faces, references in self._parts(batch))
        return concatenated([output for outputs in parts for output in outputs])

    def nearest(self, batch: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Indices of the library entries for each face of a batch, (N, R), nearest first."""
        return self.library.nearest(self._describe(batch), self._slots)

    def layer_times(self, batch: NDArray[np.uint8], runs: int = 10) -> tuple[LayerTime, ...]:
        with self._lock:
            faces, references = next(self._parts(batch))
            return self._session.layer_times(faces, runs, references)

    def warm_up(self) -> None:
        side = self.io_spec.crop_sizes[0]
        for count in self.io_spec.batches_of(side, side):
            self.infer(np.zeros((count, side, side, 3), np.uint8))

    def close(self) -> None:
        with self._lock:
            self._session.close()
            self._describe, self._buffers = _closed, {}

    def _parts(self, batch: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.uint8], Inputs]]:
        """Faces of a call with their references, in arrays that are reused for the next one."""
        calls, nearest = calls_of(batch, self.io_spec), self.nearest(batch)
        for call in calls:
            yield batch[call], self._references(nearest[call])

    def _references(self, nearest: NDArray[np.intp]) -> Inputs:
        """The graph's inputs for library entries (N, R)."""
        features = {"keys": self.library.keys, "values": self.library.values}
        if not self._buffers or len(self._buffers[PRESENT]) < len(nearest):
            self._buffers = {
                PRESENT: np.ones(nearest.shape, np.float32),
                **{name: np.empty(nearest.shape + part.shape[1:], part.dtype) for name, part in features.items()},
            }
        inputs = {name: buffer[: len(nearest)] for name, buffer in self._buffers.items()}
        for name, part in features.items():
            np.take(part, nearest, 0, inputs[name], mode="clip")  # "raise" copies
        return inputs


def bundle_embedding(bundle: Bundle, threads: int = 0) -> Describe:
    """The embedding of a bundle's own graph, in ONNX Runtime whatever runs the network: distances are those of the
    library, which was built with it."""
    graph = OrtGraph(bundle.folder / EMBEDDING, threads, content=bundle.read_graph(EMBEDDING))
    return lambda faces: np.asarray(graph.run(faces)[0], np.float32)


def check_max_references(bundle: Bundle, max_references: int) -> None:
    """Raise a UsageError unless 1 <= max_references <= `references` of the bundle's I/O spec."""
    if not 1 <= max_references <= bundle.card.io_spec.references:
        raise UsageError(f"expected 1 to {bundle.card.io_spec.references} references per face, got {max_references}")


def _closed(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    raise EngineError(CLOSED)
