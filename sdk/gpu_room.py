"""Memory of a pipeline on the GPU and page-locked memory beside it, kept from frame to frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..engines.cuda import Gpu
from ..engines.device_array import DeviceArray
from ..engines.streams import Stream


class Room:
    """Memory by name. What a name had before is overwritten; memory is taken anew only where more is needed than ever.

    Args:
        gpu: where it lies.
        stream: whose work fills and reads it.
    """

    def __init__(self, gpu: Gpu, stream: Stream) -> None:
        self._gpu, self._stream = gpu, stream
        self._there: dict[str, DeviceArray] = {}
        self._here: dict[str, NDArray[np.uint8]] = {}

    def on_gpu(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> DeviceArray:
        """An array on the GPU, its content undefined."""
        needed = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if name not in self._there or self._there[name].nbytes < needed:
            if name in self._there:
                self._there.pop(name).close()
            self._there[name] = self._gpu.empty((needed,), np.uint8)
        array = self._there[name].part(shape, dtype)
        array.stream = self._stream
        return array

    def pinned(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
        """A page-locked array on the host, its content undefined."""
        needed = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if name not in self._here or self._here[name].nbytes < needed:
            self._here.pop(name, None)
            self._here[name] = self._gpu.pinned((needed,), np.uint8)
        array: NDArray[Any] = self._here[name][:needed].view(dtype).reshape(shape)
        return array

    def close(self) -> None:
        """Give the memory back; harmless when done already."""
        for array in self._there.values():
            array.close()
        self._there.clear()
        self._here.clear()
