"""`Driver` over pycuda, without CUDA graphs; the only file that imports it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NoReturn
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError, MissingDependencyError, first_line
from .compiler import OPTIONS
from .driver import DeviceProperties, driver_error, format_mib

_ERROR_NAMES = {
    "out of memory": "CUDA_ERROR_OUT_OF_MEMORY",
    "no CUDA-capable device is detected": "CUDA_ERROR_NO_DEVICE",
    "invalid device ordinal": "CUDA_ERROR_INVALID_DEVICE",
    "invalid argument": "CUDA_ERROR_INVALID_VALUE",
    "named symbol not found": "CUDA_ERROR_NOT_FOUND",
    "no kernel image is available for execution on the device": "CUDA_ERROR_NO_BINARY_FOR_GPU",
    "invalid device context": "CUDA_ERROR_INVALID_CONTEXT",
    "an illegal memory access was encountered": "CUDA_ERROR_ILLEGAL_ADDRESS",
}
"""Driver's error description, the only one that pycuda reports -> error name."""


class PyCuda:
    """`Driver` over pycuda.

    pycuda objects release their resource when they are collected, so each is stored under its integer handle.

    Args:
        index: device number.

    Raises:
        MissingDependencyError: pycuda is not installed.
        EngineError: no driver, or no GPU of that number.
    """

    graphs = False

    def __init__(self, index: int) -> None:
        try:
            import pycuda.driver
        except ModuleNotFoundError:
            raise MissingDependencyError("pycuda", "pycuda", "running on a GPU") from None
        except ImportError as error:
            raise EngineError(
                f"pycuda cannot be loaded ({first_line(error)}); run facesr-edge doctor for details"
            ) from None
        self._cu: Any = pycuda.driver
        self._objects: dict[int, Any] = {}
        self._functions: dict[int, list[int]] = {}
        self.runtime = f"pycuda {version('pycuda')}"
        self._call(self._open, index)

    def _open(self, index: int) -> None:
        self._cu.init()
        device = self._cu.Device(index)
        self._context = device.retain_primary_context()
        finalize(self, _release, self._context, self._cu.Error).atexit = False  # it frees page-locked arrays
        cuda = self._cu.get_driver_version()
        self.properties = DeviceProperties(
            device.name(),
            tuple(device.compute_capability()),
            device.total_memory(),
            f"{cuda // 1000}.{cuda % 1000 // 10}",
            device.get_attribute(self._cu.device_attribute.MULTIPROCESSOR_COUNT),
        )

    def _call(self, function: Callable[..., Any], *arguments: Any, detail: str = "", **options: Any) -> Any:
        """Call pycuda; its errors become an EngineError."""
        try:
            return function(*arguments, **options)
        except self._cu.Error as error:
            call, _, description = str(error).partition(" failed: ")
            description = description.split(" - ")[0]
            raise driver_error(call, _ERROR_NAMES.get(description, description), detail) from None

    def _store(self, handle: int, resource: Any) -> int:
        self._objects[handle] = resource
        return handle

    def push(self) -> None:
        self._call(self._context.push)

    def pop(self) -> None:
        self._call(self._cu.Context.pop)

    def allocate(self, nbytes: int) -> int:
        memory = self._call(self._cu.mem_alloc, nbytes, detail=format_mib(nbytes))
        return self._store(int(memory), memory)

    def free(self, address: int) -> None:
        self._call(self._objects.pop(address).free)

    def allocate_pinned(self, nbytes: int) -> int:
        array = self._call(self._cu.pagelocked_empty, nbytes, np.uint8, detail=format_mib(nbytes))
        return self._store(array.ctypes.data, array.base)

    def free_pinned(self, address: int) -> None:
        self._call(self._objects.pop(address).free)

    def copy_htod(self, address: int, host: NDArray[Any], stream: int) -> None:
        self._call(self._cu.memcpy_htod_async, address, host, self._objects[stream])

    def copy_dtoh(self, host: NDArray[Any], address: int, stream: int) -> None:
        self._call(self._cu.memcpy_dtoh_async, host, address, self._objects[stream])

    def copy_dtod(self, target: int, source: int, nbytes: int, stream: int) -> None:
        self._call(self._cu.memcpy_dtod_async, target, source, nbytes, self._objects[stream])

    def fill(self, address: int, value: int, nbytes: int, stream: int) -> None:
        self._call(self._cu.memset_d8_async, address, value, nbytes, self._objects[stream])

    def stream_create(self) -> int:
        stream = self._call(self._cu.Stream, 1)  # CU_STREAM_NON_BLOCKING
        return self._store(stream.handle, stream)

    def stream_synchronize(self, stream: int) -> None:
        self._call(self._objects[stream].synchronize)

    def stream_destroy(self, stream: int) -> None:
        del self._objects[stream]

    def stream_wait(self, stream: int, other: int) -> None:
        self._call(self._cu.Context.synchronize)  # pycuda cannot wrap a stream of another library

    def event_create(self) -> int:
        event = self._call(self._cu.Event)
        return self._store(id(event), event)

    def event_record(self, event: int, stream: int) -> None:
        self._call(self._objects[event].record, self._objects[stream])

    def event_reached(self, event: int) -> bool:
        return bool(self._call(self._objects[event].query))

    def event_synchronize(self, event: int) -> None:
        self._call(self._objects[event].synchronize)

    def event_elapsed_ms(self, start: int, end: int) -> float:
        self._call(self._objects[end].synchronize)
        return float(self._call(self._objects[end].time_since, self._objects[start]))

    def event_destroy(self, event: int) -> None:
        del self._objects[event]

    def _no_graphs(self, *arguments: Any, **options: Any) -> NoReturn:
        raise EngineError("pycuda does not support CUDA graphs; pip install cuda-python")

    capture_begin = capture_end = capture_abort = graph_launch = graph_destroy = _no_graphs

    def compile(self, source: str, name: str) -> bytes:
        from pycuda.compiler import compile  # noqa: A004 - nvcc of the CUDA toolkit

        arch = "sm_{}{}".format(*self.properties.compute_capability)
        try:
            return bytes(compile(source, options=list(OPTIONS), no_extern_c=True, arch=arch))
        except (self._cu.CompileError, OSError) as error:
            reason = next((line for line in str(error).splitlines() if "error" in line.lower()), str(error))
            raise EngineError(f"nvcc cannot compile {name} ({reason.strip()}); pip install cuda-python") from None

    def module_load(self, image: bytes) -> int:
        module = self._call(self._cu.module_from_buffer, image)
        return self._store(id(module), module)

    def module_function(self, module: int, name: str) -> int:
        function = self._call(self._objects[module].get_function, name, detail=name)
        self._functions.setdefault(module, []).append(id(function))
        return self._store(id(function), function)

    def module_unload(self, module: int) -> None:
        for handle in (*self._functions.pop(module, ()), module):  # a function holds its module
            del self._objects[handle]

    def launch(
        self,
        function: int,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: tuple[np.generic, ...],
        stream: int,
    ) -> None:
        self._call(self._objects[function], *arguments, grid=grid, block=block, stream=self._objects[stream])


def _release(context: Any, driver_error: type[Exception]) -> None:
    """Release a primary context from any thread; pycuda detaches only the current context."""
    try:
        context.push()
        context.detach()
    except driver_error:
        return
    # pycuda assumes that a detached context is destroyed, but a primary one remains current: pop it.
    ctypes.CDLL("libcuda.so.1").cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
