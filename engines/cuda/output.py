"""What an engine returns for a batch in GPU memory."""

from __future__ import annotations

from typing import NamedTuple

from .array import DeviceArray


class DeviceOutput(NamedTuple):
    """`Output` in GPU memory.

    Args:
        tensor: the output that `IOSpec` describes.
        residual: (N,) float32; None if the graph has no such output.
    """

    tensor: DeviceArray
    residual: DeviceArray | None = None
