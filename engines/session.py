"""A session: an engine loaded and ready. Every runtime offers this and nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .bundle.io_spec import IOSpec


@dataclass(frozen=True)
class LayerTime:
    """What one layer of an engine takes.

    Args:
        name: as the runtime calls it; of layers that it fused, all their names.
        kind: operator or kernel, e.g. "Conv"; "" where the runtime does not say.
        ms: mean time of one call.
    """

    name: str
    kind: str
    ms: float


class Session(Protocol):
    """An engine loaded and ready; used by one thread at a time."""

    io_spec: IOSpec
    runtime: str
    """Name and version of what runs it, e.g. "ONNX Runtime 1.23 (CPU, 2 threads)"."""

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        """Run a batch.

        Args:
            batch: (N, H, W, 3) uint8 BGR, of a shape that the contract allows; any N.

        Returns:
            What the contract says, a fresh array.

        Raises:
            EngineError: a shape that the contract does not allow, or the runtime failed.
        """

    def warm_up(self) -> None:
        """Make ready every shape of the contract, so that the first frame takes no longer than the others."""

    def layer_times(self, batch: NDArray[np.uint8], runs: int = 10) -> tuple[LayerTime, ...]:
        """Time every layer, in the order they run; the clocks cost time of their own, so the sum exceeds a call's.

        Args:
            batch: as for `infer`, of a number that the contract lists.
            runs: calls that are averaged, after one that does not count.
        """

    def close(self) -> None:
        """Give the runtime's memory back."""
