"""Arrays in GPU memory, exchanged with other libraries without a copy (DLPack, ``__cuda_array_interface__``)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..errors import EngineError
from . import dlpack
from .context import Context, Owned
from .dlpack import Layout, contiguous_strides
from .driver import format_mib
from .streams import Stream


class Allocation(Owned):
    """Device memory, freed with the last array that refers to it, in this or another library."""

    def __init__(self, context: Context, nbytes: int) -> None:
        with context.current() as api:
            self.pointer = api.allocate(max(nbytes, 1))
        super().__init__(context, f"memory of {format_mib(nbytes)}", api.free, [self.pointer])


class DeviceArray:
    """Array in GPU memory; created by `Gpu.empty` and `Gpu.view`.

    Args:
        owner: object that owns the memory; referenced until `close`.
        layout: address, shape, dtype and strides.
    """

    def __init__(self, owner: Any, layout: Layout) -> None:
        self._owner, self._layout = owner, layout
        self.shape, self.dtype, self.strides = layout.shape, layout.dtype, layout.strides
        self.stream: Stream | None = None
        """Stream that writes the array; readers on other streams wait for it."""

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def contiguous(self) -> bool:
        """Whether the array is C-contiguous; strides of axes of length 1 are ignored."""
        expected = contiguous_strides(self.shape, self.dtype.itemsize)
        return all(a == b for a, b, length in zip(self.strides, expected, self.shape, strict=True) if length > 1)

    @property
    def pointer(self) -> int:
        """Address of the first element; raises an EngineError if the array is closed."""
        if self._owner is None:
            raise EngineError("the GPU array is closed; create another")
        return self._layout.pointer

    def part(
        self,
        shape: tuple[int, ...],
        dtype: DTypeLike | None = None,
        start: int = 0,
        strides: tuple[int, ...] | None = None,
    ) -> DeviceArray:
        """View of a part of the memory, as ``numpy.lib.stride_tricks.as_strided``; keeps the memory alive.

        Args:
            shape: of the view.
            dtype: of the view; None: the array's dtype.
            start: offset in bytes.
            strides: in bytes; None: C-contiguous.
        """
        element = np.dtype(self.dtype if dtype is None else dtype)
        steps = contiguous_strides(shape, element.itemsize) if strides is None else strides
        part = DeviceArray(self._owner, Layout(self.pointer + start, shape, element, steps, self._layout.device))
        part.stream = self.stream
        return part

    def narrow(self, start: int, count: int) -> DeviceArray:
        """View of entries `start` to `start + count` along the first axis."""
        return self.part((count, *self.shape[1:]), start=start * self.strides[0], strides=self.strides)

    def leading(self, count: int) -> DeviceArray:
        """View of the first `count` entries along the first axis."""
        if not 0 <= count <= self.shape[0]:
            raise EngineError(f"expected 0 to {self.shape[0]} entries, got {count}")
        return self.narrow(0, count)

    def __getitem__(self, index: int) -> DeviceArray:
        """View of one entry along the first axis."""
        if not 0 <= index < self.shape[0]:
            raise EngineError(f"expected an index of 0 to {self.shape[0] - 1}, got {index}")
        return self.part(self.shape[1:], start=index * self.strides[0], strides=self.strides[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def close(self) -> None:
        """Drop the reference to the memory, which is freed unless referenced elsewhere; no effect if closed."""
        self._owner = None

    def _pending_stream(self) -> Stream | None:
        """Stream to wait for; None if there is none or it is closed and therefore done."""
        return None if self.stream is None or self.stream.closed else self.stream

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """CUDA Array Interface, version 3, as read by PyTorch, CuPy and Numba."""
        stream = self._pending_stream()
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.pointer, False),
            "version": 3,
            "strides": None if self.contiguous else self.strides,
            "stream": stream.handle if stream is not None else None,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack device type and device number."""
        return self._layout.device

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """Export the array as a DLPack capsule for one consumer.

        Args:
            stream: handle of the consumer's stream, which waits for this array; -1: no synchronization, None: the
                default stream.
            max_version: newest DLPack version that the consumer reads; ignored, every version reads this capsule.
            dl_device: device that the consumer requests; only the array's own.
            copy: must not be True.

        Raises:
            BufferError: a copy or another device is requested.
        """
        if copy or dl_device not in (None, self._layout.device):
            raise BufferError("exporting a copy or to another device is not supported; copy the array after import")
        layout = replace(self._layout, pointer=self.pointer)  # raises if the array is closed
        pending = self._pending_stream()
        if pending is not None and stream != -1:
            pending.signal(1 if stream is None else stream)
        return dlpack.capsule_from_layout(layout, self._owner)


def device_view(other: Any, index: int, stream: Stream | None = None) -> DeviceArray:
    """View of another library's array in GPU memory.

    Args:
        other: object with ``__dlpack__`` or ``__cuda_array_interface__``.
        index: number of the device that must hold the array.
        stream: waits for the work that writes the array; None if the caller has synchronized.

    Raises:
        EngineError: not such an array, or it is not on this GPU.
    """
    if hasattr(other, "__dlpack__") and hasattr(other, "__dlpack_device__"):
        device_type, device = (int(v) for v in other.__dlpack_device__())
        if device_type not in (dlpack.CUDA, dlpack.CUDA_HOST, dlpack.CUDA_MANAGED):
            raise EngineError("expected an array in GPU memory, got one in host memory; upload it first")
        if device_type == dlpack.CUDA and device != index:
            raise EngineError(f"expected an array on GPU {index}, got one on GPU {device}; copy it there first")
        capsule = other.__dlpack__(stream=stream.handle if stream is not None else -1)
        tensor = dlpack.tensor_from_capsule(capsule)
        return DeviceArray(tensor, tensor.layout)
    try:
        interface = other.__cuda_array_interface__
    except AttributeError:
        raise EngineError(
            f"expected an array with __dlpack__ or __cuda_array_interface__, got {type(other).__name__}"
        ) from None
    shape, dtype = tuple(interface["shape"]), np.dtype(interface["typestr"])
    strides = interface.get("strides") or contiguous_strides(shape, dtype.itemsize)
    if stream is not None and interface.get("stream") is not None:
        stream.wait_for(interface["stream"])
    return DeviceArray(other, Layout(interface["data"][0], shape, dtype, tuple(strides), (dlpack.CUDA, index)))
