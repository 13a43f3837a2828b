"""Frames in the memory of GStreamer: packed formats with padded rows, to and from BGR arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...engines.errors import InputError

FORMATS = ("BGR", "BGRx", "RGB", "RGBx")
"""Formats of video/x-raw that the element takes and gives, in order of preference; BGR needs no conversion."""


@dataclass(frozen=True)
class Layout:
    """How a frame lies in a buffer.

    Args:
        format: one of `FORMATS`.
        width, height: pixels.
        stride: bytes from one row to the next.
        offset: bytes before the first row.
    """

    format: str
    width: int
    height: int
    stride: int
    offset: int = 0

    @property
    def channels(self) -> int:
        """Bytes per pixel."""
        return len(self.format)

    def rows(self, data: memoryview | bytes | bytearray) -> NDArray[np.uint8]:
        """The pixels in a buffer, (H, W, channels) uint8, a view.

        Raises:
            InputError: the buffer is too small.
        """
        if self.stride < self.channels * self.width or len(data) < self.offset + self._size:
            raise InputError(
                f"expected a buffer of {self.width}x{self.height} {self.format} in rows of {self.stride} bytes, "
                f"got {len(data)} bytes; insert videoconvert before this element"
            )
        strides = self.stride, self.channels, 1
        shape = self.height, self.width, self.channels
        rows: NDArray[np.uint8] = np.ndarray(shape, np.uint8, data, self.offset, strides)
        return rows

    @property
    def _size(self) -> int:
        """Bytes up to the last pixel."""
        return self.stride * (self.height - 1) + self.channels * self.width


def bgr_from_buffer(data: memoryview | bytes, layout: Layout) -> NDArray[np.uint8]:
    """Copy a frame out of a buffer.

    Args:
        data: of the buffer.
        layout: of the frame.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        InputError: the buffer is too small.
    """
    rows = layout.rows(data)
    return np.ascontiguousarray(rows[:, :, :3] if layout.format.startswith("BGR") else rows[:, :, 2::-1])


def write_bgr(frame: NDArray[np.uint8], data: memoryview | bytearray, layout: Layout) -> None:
    """Copy a frame into a buffer; a fourth channel becomes 255.

    Args:
        frame: (H, W, 3) uint8 BGR, of the size of the layout.
        data: of the buffer.
        layout: of the frame in it.

    Raises:
        InputError: the buffer is too small.
    """
    rows = layout.rows(data)
    rows[:, :, :3] = frame if layout.format.startswith("BGR") else frame[:, :, ::-1]
    rows[:, :, 3:] = 255
