"""A session that works in a GPU's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ..engines.session import Session

if TYPE_CHECKING:  # whoever has no GPU asks as well, and needs nothing of CUDA for it
    from ..engines.cuda import Gpu
    from ..engines.device_array import DeviceArray


@runtime_checkable
class OnDevice(Session, Protocol):
    """A session that takes and gives arrays in a GPU's memory."""

    gpu: Gpu

    def infer_on_device(self, array: Any) -> DeviceArray:
        """Queue a batch.

        Args:
            array: (N, H, W, 3) uint8 BGR on the GPU, of a shape that the contract allows; any N.

        Returns:
            What the contract says, in memory of the session's own: valid until the next call.
        """
