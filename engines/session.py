"""A session: an engine loaded and ready. Every runtime offers this and nothing more."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .contract import Contract


class Session(Protocol):
    """An engine loaded and ready; used by one thread at a time."""

    contract: Contract
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

    def close(self) -> None:
        """Give the runtime's memory back."""
