"""Page-locked arrays that results keep without a copy."""

from __future__ import annotations

import ctypes
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from ...engines.cuda.device import Gpu

MAX_LENT = 6
"""Arrays lent at once: two frames in flight, one with each step after, and some that the consumer keeps. Page-locked
memory is scarce: a consumer that keeps more results gets copies."""


class PinnedLoans:
    """Lends page-locked arrays, all as large as the largest, and takes each back when its last view is collected.

    Args:
        gpu: of the pipeline.
    """

    def __init__(self, gpu: Gpu) -> None:
        self._gpu, self._free, self._size, self._count = gpu, list[NDArray[np.uint8]](), 0, 0

    def take(self, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
        """An uninitialized uint8 array; None if `MAX_LENT` are lent."""
        nbytes = int(np.prod(shape, dtype=np.int64))
        if nbytes > self._size:
            self._free, self._size, self._count = [], nbytes, 0
        if not self._free:
            if self._count == MAX_LENT:
                return None
            self._free.append(self._gpu.pinned((self._size,), np.uint8))
            self._count += 1
        pinned, free = self._free.pop(), self._free
        block = (ctypes.c_uint8 * nbytes).from_address(pinned.ctypes.data)
        finalize(block, free.append, pinned).atexit = False  # every view of the array references the block
        lent: NDArray[Any] = np.frombuffer(memoryview(block), np.uint8).reshape(shape)
        return lent

    def close(self) -> None:
        """Free what is not lent; arrays that are lent are freed with their last view."""
        self._free, self._size, self._count = [], 0, 0
