"""A GPU: memory, streams, events, graphs and kernels over the installed CUDA bindings."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import EngineError, MissingDependencyError, UnknownNameError
from . import dlpack
from .array import Allocation, DeviceArray, device_view
from .context import Context, Owned, release
from .cuda_python import CudaPython
from .driver import Driver
from .extra import gpu_extra
from .nvbufsurface import RgbaFrame, mapped_frame
from .pycuda import PyCuda
from .streams import CudaGraph, Event, Stream

DRIVERS: dict[str, Callable[[int], Driver]] = {"cuda-python": CudaPython, "pycuda": PyCuda}
"""Bindings -> constructor of the driver of a device, in order of preference."""


def _open_driver(index: int, bindings: str) -> Driver:
    """Open a device with the named bindings, or with the first that are installed."""
    if bindings != "auto" and bindings not in DRIVERS:
        raise UnknownNameError("CUDA bindings", bindings, ["auto", *DRIVERS])
    for name in DRIVERS if bindings == "auto" else [bindings]:
        try:
            return DRIVERS[name](index)
        except MissingDependencyError:
            if name == bindings:
                raise
    raise MissingDependencyError("cuda-python", gpu_extra(), "running on a GPU")


class Gpu(Context):
    """An open GPU. A context manager.

    Uses the primary context of the device, shared with PyTorch and CuPy in the same process. Any thread may call, one
    at a time. Copies and launches are asynchronous: `Stream.synchronize` waits for them.

    Args:
        index: device number, as in nvidia-smi unless CUDA_VISIBLE_DEVICES is set.
        bindings: a key of `DRIVERS`, or "auto" for the first that is installed.

    Raises:
        UnknownNameError: no bindings of that name.
        MissingDependencyError: no bindings are installed.
        EngineError: no driver, or no GPU of that number.
    """

    def __init__(self, index: int = 0, bindings: str = "auto") -> None:
        super().__init__(_open_driver(index, bindings))
        properties = self.api.properties
        self.index = index
        self.name = properties.name
        self.compute_capability = "{}.{}".format(*properties.compute_capability)
        self.driver = properties.driver
        self.memory_bytes = properties.memory_bytes
        self.multiprocessors = properties.multiprocessors
        self.graphs = self.api.graphs
        self.runtime = self.api.runtime

    def __enter__(self) -> Gpu:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def stream(self) -> Stream:
        """Create a stream that does not synchronize with the default stream."""
        return self.register(Stream(self))

    def event(self) -> Event:
        """Create an event with timing."""
        return self.register(Event(self))

    @contextmanager
    def capture(self, stream: Stream) -> Iterator[CudaGraph]:
        """Capture the work queued on a stream within the block into a graph, without executing it.

        Args:
            stream: must not be synchronized within the block.

        Returns:
            The graph, ready after the block.

        Raises:
            EngineError: the bindings do not support graphs, or a call in the block cannot be captured.
        """
        if not self.graphs:
            raise EngineError(f"{self.runtime} does not support CUDA graphs; pip install cuda-python")
        with self.current() as api:
            stream.api()
            graph = self.register(CudaGraph(self))
            api.capture_begin(stream.handle)
            try:
                yield graph
            except BaseException:
                api.capture_abort(stream.handle)
                raise
            graph.set_handle(api.capture_end(stream.handle))

    def module(self, source: str, name: str) -> Module:
        """Compile and load kernels; see `Module`."""
        return self.register(Module(self, source, name))

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceArray:
        """Allocate an uninitialized array; raises an EngineError if out of GPU memory."""
        dtype = np.dtype(dtype)
        memory = Allocation(self, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        strides = dlpack.contiguous_strides(shape, dtype.itemsize)
        layout = dlpack.Layout(memory.pointer, shape, dtype, strides, (dlpack.CUDA, self.index))
        return self.register(DeviceArray(memory, layout))

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Allocate an uninitialized page-locked host array; freed with its last view, or with the process."""
        dtype = np.dtype(dtype)
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        with self.current() as api:
            address = api.allocate_pinned(max(nbytes, 1))
        block = (ctypes.c_uint8 * nbytes).from_address(address)
        # Every view of the array references the block. Other exit handlers may read it: the process frees it.
        finalize(block, release, api, api.free_pinned, [address]).atexit = False
        array: NDArray[Any] = np.frombuffer(memoryview(block), np.uint8).view(dtype).reshape(shape)
        return array

    def view(self, other: Any, stream: Stream | None = None) -> DeviceArray:
        """View of another library's array in GPU memory; see `device_view`."""
        return self.register(device_view(other, self.index, stream))

    @contextmanager
    def nvmm_frame(self, buffer: int, index: int) -> Iterator[RgbaFrame]:
        """Map a frame of a Jetson's GStreamer buffer, with the context current; see `mapped_frame`."""
        with self.current(), mapped_frame(buffer, index) as frame:
            yield frame

    def upload(self, host: NDArray[Any], device: DeviceArray, stream: Stream) -> None:
        """Queue a copy from the host; do not modify a page-locked array before the stream has copied it.

        Raises:
            EngineError: shapes or dtypes differ, an array is not contiguous, or something is closed.
        """
        _check_copy(host, host.flags.c_contiguous, device)
        with self.current():
            stream.api().copy_htod(device.pointer, host, stream.handle)
        device.stream = stream

    def download(self, device: DeviceArray, host: NDArray[Any], stream: Stream) -> None:
        """Queue a copy to the host, valid after `Stream.synchronize`; raises an EngineError as `upload` does."""
        _check_copy(host, host.flags.c_contiguous, device)
        with self.current():
            stream.api().copy_dtoh(host, device.pointer, stream.handle)

    def copy(self, source: DeviceArray, target: DeviceArray, stream: Stream) -> None:
        """Queue a copy within GPU memory; raises an EngineError as `upload` does."""
        _check_copy(source, source.contiguous, target)
        with self.current():
            stream.api().copy_dtod(target.pointer, source.pointer, source.nbytes, stream.handle)
        target.stream = stream

    def fill(self, array: DeviceArray, value: int, stream: Stream) -> None:
        """Queue setting all bytes of a contiguous array to a value; raises an EngineError as `upload` does."""
        _check_copy(array, array.contiguous, array)
        with self.current():
            stream.api().fill(array.pointer, value, array.nbytes, stream.handle)
        array.stream = stream


def _check_copy(one: NDArray[Any] | DeviceArray, contiguous: bool, other: DeviceArray) -> None:
    if one.shape != other.shape or one.dtype != other.dtype:
        raise EngineError(
            f"expected arrays of equal shape and dtype to copy, got {one.shape} {one.dtype}, "
            f"{other.shape} {other.dtype}"
        )
    if not contiguous or not other.contiguous:
        raise EngineError("expected contiguous arrays to copy, got a strided one; make it contiguous")


class Module(Owned):
    """Compiled kernels, loaded on a device.

    Args:
        context: where to load them.
        source: CUDA C++ in one piece; kernels are `extern "C"`.
        name: file name for error messages.

    Raises:
        EngineError: the source does not compile, or the module does not load.
    """

    def __init__(self, context: Context, source: str, name: str) -> None:
        with context.current() as api:
            handle = api.module_load(api.compile(source, name))
        super().__init__(context, name, api.module_unload, [handle])
        self._handle = handle
        self._functions: dict[str, int] = {}

    def launch(
        self,
        name: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: tuple[np.generic | DeviceArray, ...],
        stream: Stream,
    ) -> None:
        """Queue a kernel.

        Args:
            name: of the kernel.
            grid: blocks in x, y, z.
            block: threads per block in x, y, z.
            arguments: numbers of the exact C type (``np.int32(3)``), and arrays for pointers.
            stream: where to queue it.

        Raises:
            EngineError: no such kernel, something is closed, or the driver rejects the launch.
        """
        api = self.api()
        stream.api()
        values = tuple(a if isinstance(a, np.generic) else np.uint64(a.pointer) for a in arguments)
        with self._context.current():
            if name not in self._functions:
                self._functions[name] = api.module_function(self._handle, name)
            api.launch(self._functions[name], grid, block, values, stream.handle)
