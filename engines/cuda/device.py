"""A GPU: its memory, streams, events, graphs and kernels, through whichever CUDA bindings are installed."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
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
from .pycuda import PyCuda
from .streams import CudaGraph, Event, Stream

DRIVERS: dict[str, Callable[[int], Driver]] = {"cuda-python": CudaPython, "pycuda": PyCuda}
"""Bindings -> how a device is opened with them; the preferred first."""


def open_driver(index: int, bindings: str = "auto") -> Driver:
    """Open a device with the first bindings that are installed, or with those that are named.

    Raises:
        UnknownNameError: no bindings of that name.
        MissingDependencyError: they are not installed, or none are.
        EngineError: no driver, or no such GPU.
    """
    if bindings != "auto" and bindings not in DRIVERS:
        raise UnknownNameError("CUDA bindings", bindings, ["auto", *DRIVERS])
    for name in DRIVERS if bindings == "auto" else [bindings]:
        try:
            return DRIVERS[name](index)
        except MissingDependencyError:
            if name == bindings:
                raise
    raise MissingDependencyError("cuda-python", "tensorrt", "running on a GPU")


class Gpu(Context):
    """A GPU, open; the primary context of its device, so that PyTorch and CuPy in the same process share it.

    Any thread may call, one at a time. Copies and launches are queued: `Stream.synchronize` waits for them.

    Args:
        index: number of the device, as in nvidia-smi unless CUDA_VISIBLE_DEVICES says otherwise.
        bindings: a key of `DRIVERS`, or "auto" for the first that is installed.

    Raises:
        MissingDependencyError: no bindings are installed.
        EngineError: no driver, or no such GPU.
    """

    def __init__(self, index: int = 0, bindings: str = "auto") -> None:
        super().__init__(open_driver(index, bindings))
        facts = self.api.facts
        self.index = index
        self.name = facts.name
        self.compute_capability = "{}.{}".format(*facts.compute_capability)
        self.driver = facts.driver
        self.memory_bytes = facts.memory_bytes
        self.graphs = self.api.graphs
        self.runtime = self.api.runtime

    def __enter__(self) -> Gpu:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def stream(self) -> Stream:
        """A queue of work, which does not wait for the default stream."""
        return self.keep(Stream(self))

    def event(self) -> Event:
        """A mark with a clock."""
        return self.keep(Event(self))

    @contextmanager
    def capture(self, stream: Stream) -> Iterator[CudaGraph]:
        """Write down what is queued on a stream within the block, and do none of it; the graph does it all at once.

        Args:
            stream: nothing may be waited for on it within the block.

        Returns:
            The graph, ready after the block.

        Raises:
            EngineError: these bindings capture no graphs, or something in the block cannot be captured.
        """
        if not self.graphs:
            raise EngineError(f"{self.runtime} captures no CUDA graphs; pip install cuda-python, or launch one by one")
        api = self.api
        stream.api()
        graph = self.keep(CudaGraph(self))
        with self.current():
            api.capture_begin(stream.handle)
            try:
                yield graph
            except BaseException:
                api.capture_drop(stream.handle)
                raise
            graph.hold(api.capture_end(stream.handle))

    def module(self, source: str, name: str) -> Module:
        """Compile and load kernels; see `Module`."""
        return self.keep(Module(self, source, name))

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceArray:
        """Memory for an array, its content undefined.

        Raises:
            EngineError: the GPU has not enough memory.
        """
        dtype = np.dtype(dtype)
        memory = Allocation(self, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        strides = dlpack.packed(shape, dtype.itemsize)
        return self.keep(
            DeviceArray(memory, dlpack.Layout(memory.pointer, shape, dtype, strides, (dlpack.CUDA, self.index)))
        )

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A page-locked host array, its content undefined; freed with the last view of it."""
        dtype = np.dtype(dtype)
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        api = self.api
        with self.current():
            address = api.pin(max(nbytes, 1))
        block = (ctypes.c_uint8 * nbytes).from_address(address)
        finalize(block, release, api, api.unpin, [address])  # every view of the array holds the block
        array: NDArray[Any] = np.frombuffer(memoryview(block), np.uint8).view(dtype).reshape(shape)
        return array

    def view(self, other: Any, stream: Stream | None = None) -> DeviceArray:
        """Another library's array, where it lies; see `device_view`."""
        return self.keep(device_view(other, self.index, stream))

    def upload(self, host: NDArray[Any], device: DeviceArray, stream: Stream) -> None:
        """Queue a copy from the host; a page-locked array must stay as it is until the stream has passed.

        Raises:
            EngineError: the two differ in size or have gaps between rows, or something is closed.
        """
        _check_alike(host, host.flags.c_contiguous, device)
        with self.current():
            stream.api().to_device(device.pointer, host, stream.handle)
        device.stream = stream

    def download(self, device: DeviceArray, host: NDArray[Any], stream: Stream) -> None:
        """Queue a copy to the host; the array holds it once the stream has passed.

        Raises:
            EngineError: the two differ in size or have gaps between rows, or something is closed.
        """
        _check_alike(host, host.flags.c_contiguous, device)
        with self.current():
            stream.api().to_host(host, device.pointer, stream.handle)

    def copy(self, source: DeviceArray, target: DeviceArray, stream: Stream) -> None:
        """Queue a copy within the GPU.

        Raises:
            EngineError: the two differ in size or have gaps between rows, or something is closed.
        """
        _check_alike(source, source.contiguous, target)
        with self.current():
            stream.api().copy_dtod(target.pointer, source.pointer, source.nbytes, stream.handle)
        target.stream = stream


def _check_alike(one: NDArray[Any] | DeviceArray, contiguous: bool, other: DeviceArray) -> None:
    if one.shape != other.shape or one.dtype != other.dtype:
        raise EngineError(
            f"expected arrays of one shape and type to copy, got {one.shape} {one.dtype}, {other.shape} {other.dtype}"
        )
    if not contiguous or not other.contiguous:
        raise EngineError("expected arrays without gaps between their rows to copy, got one with; make it contiguous")


class Module(Owned):
    """Kernels compiled for the device.

    Args:
        context: where to load them.
        source: CUDA C++ in one piece; kernels are `extern "C"`.
        name: of the source, for the compiler's messages.

    Raises:
        EngineError: it does not compile, or does not load.
    """

    def __init__(self, context: Context, source: str, name: str) -> None:
        api = context.api
        with context.current():
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
            block: threads of a block in x, y, z.
            arguments: numbers of the exact C type (``np.int32(3)``), and arrays for pointers.
            stream: where to queue it.

        Raises:
            EngineError: no such kernel, something is closed, or the driver refused.
        """
        api = self.api()
        stream.api()
        values = tuple(a if isinstance(a, np.generic) else np.uint64(a.pointer) for a in arguments)
        with self._context.current():
            if name not in self._functions:
                self._functions[name] = api.module_function(self._handle, name)
            api.launch(self._functions[name], grid, block, values, stream.handle)
