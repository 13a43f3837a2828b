"""An array in the GPU's memory, shared with other libraries without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..errors import EngineError
from . import dlpack
from .context import Context, Owned
from .dlpack import Layout, packed
from .driver import mebibytes
from .streams import Stream


class Allocation(Owned):
    """Device memory; freed when the last array, here or in another library, lets go of it."""

    def __init__(self, context: Context, nbytes: int) -> None:
        api = context.api
        with context.current():
            self.pointer = api.allocate(max(nbytes, 1))
        super().__init__(context, f"memory of {mebibytes(nbytes)}", api.free, [self.pointer])


class DeviceArray:
    """An array in the GPU's memory; `Gpu.empty` and `Gpu.view` make it.

    Args:
        owner: what its memory belongs to; it is held until `close`.
        layout: where it lies.
    """

    def __init__(self, owner: Any, layout: Layout) -> None:
        self._owner, self._layout = owner, layout
        self.stream: Stream | None = None
        """The stream whose work fills the array; whoever reads it elsewhere is made to wait for that."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each axis."""
        return self._layout.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of an element."""
        return self._layout.dtype

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next along each axis."""
        return self._layout.strides

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def contiguous(self) -> bool:
        """Whether the rows follow each other without gaps; the stride of an axis of one element says nothing."""
        wanted = packed(self.shape, self.dtype.itemsize)
        return all(a == b for a, b, length in zip(self.strides, wanted, self.shape, strict=True) if length > 1)

    @property
    def pointer(self) -> int:
        """Address of the first element.

        Raises:
            EngineError: the array is closed.
        """
        if self._owner is None:
            raise EngineError("the array on the GPU is closed; make another")
        return self._layout.pointer

    def part(
        self,
        shape: tuple[int, ...],
        dtype: DTypeLike | None = None,
        start: int = 0,
        strides: tuple[int, ...] | None = None,
    ) -> DeviceArray:
        """Some of the array, in the same memory, which lives as long as either.

        Args:
            shape: of the part.
            dtype: of the part; none for the array's own.
            start: where it begins, in bytes.
            strides: bytes from one element to the next along each axis; none where it has no gaps.
        """
        kind = np.dtype(self.dtype if dtype is None else dtype)
        steps = packed(shape, kind.itemsize) if strides is None else strides
        part = DeviceArray(self._owner, Layout(self.pointer + start, shape, kind, steps, self._layout.device))
        part.stream = self.stream
        return part

    def entries(self, start: int, count: int) -> DeviceArray:
        """Some entries along the first axis."""
        return self.part((count, *self.shape[1:]), start=start * self.strides[0], strides=self.strides)

    def leading(self, count: int) -> DeviceArray:
        """The first entries along the first axis, in the same memory."""
        if not 0 <= count <= self.shape[0]:
            raise EngineError(f"expected 0 to {self.shape[0]} entries, got {count}")
        return self.entries(0, count)

    def __getitem__(self, index: int) -> DeviceArray:
        """One entry along the first axis, in the same memory."""
        if not 0 <= index < self.shape[0]:
            raise EngineError(f"expected an entry of 0 to {self.shape[0] - 1}, got {index}")
        return self.part(self.shape[1:], start=index * self.strides[0], strides=self.strides[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def close(self) -> None:
        """Let go of the memory, which is freed unless somebody else holds it; harmless when done already."""
        self._owner = None

    def _filling(self) -> Stream | None:
        """The stream to wait for; none if its work is done, as it is once it is closed."""
        return None if self.stream is None or self.stream.closed else self.stream

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Numba's protocol, version 3; PyTorch, CuPy and Numba read it."""
        stream = self._filling()
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.pointer, False),
            "version": 3,
            "strides": None if self.contiguous else self.strides,
            "stream": stream.handle if stream is not None else None,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's kind of memory, and number of the device."""
        return self._layout.device

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule with this array, for one taker.

        Args:
            stream: handle of the taker's stream, which is made to wait for this array; -1 for one that needs not wait,
                none for the default stream.
            max_version: newest DLPack that the taker reads; every version reads what is given here.
            dl_device: where the taker wants it; only where it is.
            copy: whether to copy; never.

        Raises:
            BufferError: a copy was asked for, or another device.
        """
        if copy or dl_device not in (None, self._layout.device):
            raise BufferError("expected an array that stays where it is, was asked for a copy; copy it after taking it")
        pointer = self.pointer  # checks that the array is open
        filling = self._filling()
        if filling is not None and stream != -1:
            filling.lead(1 if stream is None else stream)
        at = self._layout
        return dlpack.capsule_of(Layout(pointer, at.shape, at.dtype, at.strides, at.device), self._owner)


def device_view(other: Any, index: int, stream: Stream | None = None) -> DeviceArray:
    """Another library's array, where it lies.

    Args:
        other: anything with ``__dlpack__`` or ``__cuda_array_interface__``.
        index: number of the device where it has to be.
        stream: made to wait for the work that fills the array; none if the caller has waited.

    Raises:
        EngineError: not such an array, or one in other memory.
    """
    if hasattr(other, "__dlpack__") and hasattr(other, "__dlpack_device__"):
        kind, where = (int(v) for v in other.__dlpack_device__())
        if kind not in (dlpack.CUDA, dlpack.CUDA_HOST, dlpack.CUDA_MANAGED):
            raise EngineError("expected an array in the GPU's memory, got one in the host's; upload it first")
        if kind == dlpack.CUDA and where != index:
            raise EngineError(f"expected an array on GPU {index}, got one on GPU {where}; copy it there first")
        taken = dlpack.taken_from(other.__dlpack__(stream=stream.handle if stream is not None else -1))
        return DeviceArray(taken, taken.layout)
    try:
        seen = other.__cuda_array_interface__
    except AttributeError:
        raise EngineError(
            f"expected an array with __dlpack__ or __cuda_array_interface__, got {type(other).__name__}"
        ) from None
    shape, dtype = tuple(seen["shape"]), np.dtype(seen["typestr"])
    strides = seen.get("strides") or packed(shape, dtype.itemsize)
    if stream is not None and seen.get("stream") is not None:
        stream.follow(seen["stream"])
    return DeviceArray(other, Layout(seen["data"][0], shape, dtype, tuple(strides), (dlpack.CUDA, index)))
