"""The protocol that every runtime implements: a session is a loaded engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .bundle.io_spec import IOSpec
from .inputs import NO_INPUTS, Inputs


@dataclass(frozen=True)
class LayerTime:
    """Time of one layer of an engine.

    Args:
        name: of the layer in the runtime; for fused layers, the names of all.
        kind: operator or kernel, e.g. "Conv"; "" if the runtime does not report it.
        ms: mean time per call.
    """

    name: str
    kind: str
    ms: float


CLOSED = "the engine is closed; load it again"
"""Message of the error of a call after `Session.close`."""
RESIDUAL = "residual"
"""Name of the second output of a super-resolution graph, see `Output`."""


class Output(NamedTuple):
    """What an engine returns for one batch.

    Args:
        tensor: the output that `IOSpec` describes.
        residual: (N,) float32, mean squared difference of each crop and its downscaled result, in gray levels squared;
            None if the graph has no such output.
    """

    tensor: NDArray[Any]
    residual: NDArray[np.float32] | None = None


def concatenated(parts: Sequence[Output]) -> Output:
    """The output of a batch from those of its calls, in order."""
    if len(parts) == 1:
        return parts[0]
    tensors, residuals = zip(*parts, strict=True)
    return Output(np.concatenate(tensors), None if residuals[0] is None else np.concatenate(residuals))


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names of a graph's outputs in the order of `Output`; empty if they are others than one and `RESIDUAL`."""
    ordered = tuple(sorted(names, key=lambda name: name == RESIDUAL))
    return ordered if [name == RESIDUAL for name in ordered] in ([False], [False, True]) else ()


class Session(Protocol):
    """A loaded engine. Thread-safe: calls from several threads wait for each other. Returned arrays are not reused.

    After `os.fork` it can be used in the parent only, since the threads of the runtime exist there only: load another
    one in the child. It cannot be pickled.
    """

    io_spec: IOSpec
    precision: str
    """Precision that runs, e.g. "int8", which may differ from the card's: see `Bundle.precisions`."""
    runtime: str
    """Name and version of the runtime, e.g. "ONNX Runtime 1.23 (CPU, 2 threads)"."""

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        """Run a batch.

        Args:
            batch: (N, H, W, 3) uint8 BGR, H and W as the I/O spec requires, N of 1 or more.

        Returns:
            The output that `IOSpec` describes, a new array.

        Raises:
            EngineError: a shape that the I/O spec does not accept, or the runtime failed.
        """

    def infer_batches(self, batches: Sequence[NDArray[np.uint8]]) -> list[Output]:
        """Run several batches, of different sizes if need be, such as the crops of one frame.

        Args:
            batches: each as for `infer`.

        Returns:
            One output for each batch, in new arrays.

        Raises:
            EngineError: as `infer`.
        """

    def warm_up(self) -> None:
        """Run every shape of the I/O spec once, so that the first frame is not slower than the others."""

    def layer_times(self, batch: NDArray[np.uint8], runs: int = 10) -> tuple[LayerTime, ...]:
        """Measure the time of every layer, in execution order. Profiling has overhead: the sum exceeds a call's time.

        Args:
            batch: as for `infer`, of a batch size in the I/O spec.
            runs: number of calls to average, after one warm-up call.
        """

    def close(self) -> None:
        """Release the runtime's memory, after the running call; later calls raise an EngineError. Idempotent."""


class MultiInputSession(Session, Protocol):
    """A session that also takes the graph's inputs besides the pixels by name: features of references, or samples.

    Without them it runs a network that takes references with empty slots, and one of several frames with one.
    """

    def infer_batches(self, batches: Sequence[NDArray[np.uint8]], inputs: Sequence[Inputs] = ()) -> list[Output]:
        """Run several batches.

        Args:
            batches: see `Session.infer_batches`.
            inputs: for each batch its other inputs; empty for none.

        Raises:
            EngineError: as `infer`, or an input that the graph does not have, or of another shape or dtype.
        """

    def layer_times(
        self, batch: NDArray[np.uint8], runs: int = 10, inputs: Inputs = NO_INPUTS
    ) -> tuple[LayerTime, ...]:
        """Measure the time of every layer, see `Session.layer_times`, with the other inputs of the batch."""
