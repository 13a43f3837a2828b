"""The protocol that every runtime implements: a session is a loaded engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .bundle.io_spec import IOSpec


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


class Session(Protocol):
    """A loaded engine. Not thread-safe: use it from one thread at a time."""

    io_spec: IOSpec
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

    def warm_up(self) -> None:
        """Run every shape of the I/O spec once, so that the first frame is not slower than the others."""

    def layer_times(self, batch: NDArray[np.uint8], runs: int = 10) -> tuple[LayerTime, ...]:
        """Measure the time of every layer, in execution order. Profiling has overhead: the sum exceeds a call's time.

        Args:
            batch: as for `infer`, of a batch size in the I/O spec.
            runs: number of calls to average, after one warm-up call.
        """

    def close(self) -> None:
        """Release the runtime's memory."""
