"""Page-locked arrays that results keep without a copy."""

from __future__ import annotations

import ctypes
from typing import Any
from weakref import finalize, ref

import numpy as np
from numpy.typing import NDArray

from ...engines.cuda.device import Gpu
from ...engines.errors import EngineError

MAX_LENT = 6
"""Arrays lent at once: two frames in flight, one with each step after, and some that the consumer keeps. Page-locked
memory is scarce: a consumer that keeps more results gets copies."""
MAX_SHARE = 1 / 16
"""Maximum size of these arrays relative to the memory of the GPU, on a Jetson that of the system."""


class PinnedLoans:
    """Lends page-locked arrays, all as large as the largest, and takes each back when its last view is collected.

    Args:
        gpu: of the pipeline.
    """

    def __init__(self, gpu: Gpu) -> None:
        self._gpu, self._budget = gpu, int(MAX_SHARE * gpu.memory_bytes)
        self._free, self._size = list[NDArray[np.uint8]](), 0
        self._allocated: list[ref[NDArray[np.uint8]]] = []

    def take(self, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
        """An uninitialized uint8 array; None if `MAX_LENT` are lent, or no more page-locked memory is to be had."""
        nbytes = int(np.prod(shape, dtype=np.int64))
        if nbytes > self._size:
            self._free, self._size = [], nbytes
        pinned = self._free.pop() if self._free else self._allocate()
        if pinned is None:
            return None
        block = (ctypes.c_uint8 * nbytes).from_address(pinned.ctypes.data)
        # Every view of the array references the block.
        finalize(block, self._take_back, self._free, pinned).atexit = False
        lent: NDArray[Any] = np.frombuffer(memoryview(block), np.uint8).reshape(shape)
        return lent

    def _allocate(self) -> NDArray[np.uint8] | None:
        """A new array of the current size; None beyond a limit, or if the system has no page-locked memory left."""
        allocated = [array for one in self._allocated if (array := one()) is not None]
        if len(allocated) == MAX_LENT or sum(array.nbytes for array in allocated) + self._size > self._budget:
            return None
        try:
            pinned: NDArray[np.uint8] = self._gpu.pinned((self._size,), np.uint8)
        except EngineError:
            return None
        self._allocated = [ref(array) for array in (*allocated, pinned)]
        return pinned

    def _take_back(self, free: list[NDArray[np.uint8]], pinned: NDArray[np.uint8]) -> None:
        """Called in any thread; arrays of an earlier size are freed."""
        if free is self._free:
            free.append(pinned)

    def close(self) -> None:
        """Free what is not lent; arrays that are lent are freed with their last view."""
        self._free, self._size = [], 0
