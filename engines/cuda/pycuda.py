"""pycuda, other bindings of the CUDA driver, without graphs: the one file that imports them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError, MissingDependencyError
from .compiler import OPTIONS
from .driver import DeviceFacts, driver_error, mebibytes

_RESULTS = {
    "out of memory": "CUDA_ERROR_OUT_OF_MEMORY",
    "no CUDA-capable device is detected": "CUDA_ERROR_NO_DEVICE",
    "invalid device ordinal": "CUDA_ERROR_INVALID_DEVICE",
    "invalid argument": "CUDA_ERROR_INVALID_VALUE",
    "named symbol not found": "CUDA_ERROR_NOT_FOUND",
    "no kernel image is available for execution on the device": "CUDA_ERROR_NO_BINARY_FOR_GPU",
    "invalid device context": "CUDA_ERROR_INVALID_CONTEXT",
    "an illegal memory access was encountered": "CUDA_ERROR_ILLEGAL_ADDRESS",
}
"""The driver's description of a failure, which is all that pycuda tells -> its name."""


class PyCuda:
    """A `Driver` by pycuda. Its objects free what they stand for, so each is kept under the number that stands for it.

    Args:
        index: number of the device.

    Raises:
        MissingDependencyError: pycuda is not installed.
        EngineError: no driver, or no such GPU.
    """

    graphs = False

    def __init__(self, index: int) -> None:
        try:
            import pycuda.driver
        except ModuleNotFoundError:
            raise MissingDependencyError("pycuda", "pycuda", "running on a GPU") from None
        except ImportError as error:
            reason = str(error).splitlines()[0]
            raise EngineError(f"pycuda cannot be loaded ({reason}); facesr-edge doctor says what is missing") from None
        self._cu: Any = pycuda.driver
        self._kept: dict[int, Any] = {}
        self._functions: dict[int, list[int]] = {}
        self.runtime = f"pycuda {version('pycuda')}"
        with self._telling():
            self._cu.init()
            device = self._cu.Device(index)
            self._context = device.retain_primary_context()
            finalize(self, _release, self._context, self._cu.Error)
            newest = self._cu.get_driver_version()
            self.facts = DeviceFacts(
                device.name(),
                tuple(device.compute_capability()),
                device.total_memory(),
                f"{newest // 1000}.{newest % 1000 // 10}",
            )

    @contextmanager
    def _telling(self, detail: str = "") -> Iterator[None]:
        try:
            yield
        except self._cu.Error as error:
            call, _, what = str(error).partition(" failed: ")
            what = what.split(" - ")[0]
            raise driver_error(call, _RESULTS.get(what, what), detail) from None

    def _keep(self, number: int, thing: Any) -> int:
        self._kept[number] = thing
        return number

    def push(self) -> None:
        """See `Driver.push`."""
        with self._telling():
            self._context.push()

    def pop(self) -> None:
        """See `Driver.pop`."""
        with self._telling():
            self._cu.Context.pop()

    def allocate(self, nbytes: int) -> int:
        """See `Driver.allocate`."""
        with self._telling(mebibytes(nbytes)):
            memory = self._cu.mem_alloc(nbytes)
        return self._keep(int(memory), memory)

    def free(self, address: int) -> None:
        """See `Driver.free`."""
        with self._telling():
            self._kept.pop(address).free()

    def pin(self, nbytes: int) -> int:
        """See `Driver.pin`."""
        with self._telling(mebibytes(nbytes)):
            array = self._cu.pagelocked_empty(nbytes, np.uint8)
        return self._keep(array.ctypes.data, array.base)

    def unpin(self, address: int) -> None:
        """See `Driver.unpin`."""
        with self._telling():
            self._kept.pop(address).free()

    def to_device(self, address: int, host: NDArray[Any], stream: int) -> None:
        """See `Driver.to_device`."""
        with self._telling():
            self._cu.memcpy_htod_async(address, host, self._kept[stream])

    def to_host(self, host: NDArray[Any], address: int, stream: int) -> None:
        """See `Driver.to_host`."""
        with self._telling():
            self._cu.memcpy_dtoh_async(host, address, self._kept[stream])

    def copy_dtod(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """See `Driver.copy_dtod`."""
        with self._telling():
            self._cu.memcpy_dtod_async(target, source, nbytes, self._kept[stream])

    def stream_create(self) -> int:
        """See `Driver.stream_create`."""
        with self._telling():
            stream = self._cu.Stream(1)  # CU_STREAM_NON_BLOCKING
        return self._keep(stream.handle, stream)

    def stream_wait(self, stream: int) -> None:
        """See `Driver.stream_wait`."""
        with self._telling():
            self._kept[stream].synchronize()

    def stream_destroy(self, stream: int) -> None:
        """See `Driver.stream_destroy`."""
        del self._kept[stream]

    def order(self, first: int, then: int) -> None:
        """See `Driver.order`. pycuda cannot name another library's stream, so all streams are waited for."""
        with self._telling():
            self._cu.Context.synchronize()

    def event_create(self) -> int:
        """See `Driver.event_create`."""
        with self._telling():
            event = self._cu.Event()
        return self._keep(id(event), event)

    def event_record(self, event: int, stream: int) -> None:
        """See `Driver.event_record`."""
        with self._telling():
            self._kept[event].record(self._kept[stream])

    def event_milliseconds(self, start: int, end: int) -> float:
        """See `Driver.event_milliseconds`."""
        with self._telling():
            self._kept[end].synchronize()
            return float(self._kept[end].time_since(self._kept[start]))

    def event_destroy(self, event: int) -> None:
        """See `Driver.event_destroy`."""
        del self._kept[event]

    def capture_begin(self, stream: int) -> None:
        """See `Driver.capture_begin`."""
        raise EngineError("pycuda captures no CUDA graphs; pip install cuda-python")

    def capture_end(self, stream: int) -> int:
        """See `Driver.capture_end`."""
        raise EngineError("pycuda captures no CUDA graphs; pip install cuda-python")

    def capture_drop(self, stream: int) -> None:
        """See `Driver.capture_drop`."""

    def graph_launch(self, graph: int, stream: int) -> None:
        """See `Driver.graph_launch`."""
        raise EngineError("pycuda launches no CUDA graphs; pip install cuda-python")

    def graph_destroy(self, graph: int) -> None:
        """See `Driver.graph_destroy`."""

    def compile(self, source: str, name: str) -> bytes:
        """See `Driver.compile`; by the toolkit's nvcc."""
        from pycuda.compiler import compile  # noqa: A004

        arch = "sm_{}{}".format(*self.facts.compute_capability)
        try:
            return bytes(compile(source, options=list(OPTIONS), no_extern_c=True, arch=arch))
        except (self._cu.CompileError, OSError) as error:
            reason = next((line for line in str(error).splitlines() if "error" in line.lower()), str(error))
            raise EngineError(f"nvcc does not compile {name} ({reason.strip()}); pip install cuda-python") from None

    def module_load(self, image: bytes) -> int:
        """See `Driver.module_load`."""
        with self._telling():
            module = self._cu.module_from_buffer(image)
        return self._keep(id(module), module)

    def module_function(self, module: int, name: str) -> int:
        """See `Driver.module_function`."""
        with self._telling(name):
            function = self._kept[module].get_function(name)
        self._functions.setdefault(module, []).append(id(function))
        return self._keep(id(function), function)

    def module_unload(self, module: int) -> None:
        """See `Driver.module_unload`."""
        for number in (*self._functions.pop(module, ()), module):  # a function holds its module
            del self._kept[number]

    def launch(
        self,
        function: int,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: tuple[np.generic, ...],
        stream: int,
    ) -> None:
        """See `Driver.launch`."""
        with self._telling():
            self._kept[function](*arguments, grid=grid, block=block, stream=self._kept[stream])


def _release(context: Any, failure: type[Exception]) -> None:
    """Let go of a primary context, from whichever thread: pycuda does it only for a context that is current."""
    try:
        context.push()
        context.detach()
    except failure:
        return
    # pycuda takes the context for gone with its release, but a primary one is still current: take it off the stack.
    ctypes.CDLL("libcuda.so.1").cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
