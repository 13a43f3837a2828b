"""`Driver` over NVIDIA's cuda-python bindings; the only file that imports them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError, MissingDependencyError, first_line
from .compiler import compile_kernels
from .driver import DeviceProperties, driver_error, format_mib
from .extra import MAJORS, gpu_extra


class CudaPython:
    """`Driver` over cuda-python 12.8 to 13.x.

    Args:
        index: device number.

    Raises:
        MissingDependencyError: cuda-python is not installed.
        EngineError: no driver, or no GPU of that number.
    """

    graphs = True

    def __init__(self, index: int) -> None:
        try:
            from cuda.bindings import driver as cu
            from cuda.bindings import nvrtc
        except ImportError:
            raise MissingDependencyError("cuda-python", gpu_extra(), "running on a GPU") from None
        self._cu: Any = cu
        self._nvrtc: Any = nvrtc
        release = version("cuda-bindings")
        self.runtime = f"cuda-python {release}"
        try:
            self._call(cu.cuInit, 0)
        except (RuntimeError, ImportError) as error:  # the bindings load libcuda on their first call
            raise EngineError(
                f"no NVIDIA driver found ({first_line(error)}); run facesr-edge doctor for details"
            ) from None
        driver, required = self._call(cu.cuDriverGetVersion), int(release.split(".")[0])
        major, supported = driver // 1000, f"{driver // 1000}.{driver % 1000 // 10}"
        if required > major:
            raise EngineError(
                f"{self.runtime} requires CUDA {required}, the driver supports CUDA {supported}; update the driver"
                + (f", or pip install 'facesr-edge[{gpu_extra(major)}]'" if major in MAJORS else "")
            )
        self._device = self._call(cu.cuDeviceGet, index)
        self._context = self._call(cu.cuDevicePrimaryCtxRetain, self._device)
        finalize(self, cu.cuDevicePrimaryCtxRelease, self._device).atexit = False  # it frees page-locked arrays
        self.properties = self._query_properties(supported)

    def _query_properties(self, cuda_version: str) -> DeviceProperties:
        cu, device = self._cu, self._device

        def attribute(name: str) -> int:
            which = getattr(cu.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}")
            return int(self._call(cu.cuDeviceGetAttribute, which, device))

        name = self._call(cu.cuDeviceGetName, 256, device)
        return DeviceProperties(
            name.split(b"\0")[0].decode("utf-8", "replace"),
            (attribute("COMPUTE_CAPABILITY_MAJOR"), attribute("COMPUTE_CAPABILITY_MINOR")),
            self._call(cu.cuDeviceTotalMem, device),
            cuda_version,
            attribute("MULTIPROCESSOR_COUNT"),
        )

    def _call(self, function: Any, *arguments: Any, detail: str = "") -> Any:
        """Call the driver; returns its result without the status, or None."""
        status, *results = function(*arguments)
        if status != self._cu.CUresult.CUDA_SUCCESS:
            raise driver_error(function.__name__, getattr(status, "name", str(status)), detail)
        return results[0] if results else None

    def push(self) -> None:
        self._call(self._cu.cuCtxPushCurrent, self._context)

    def pop(self) -> None:
        self._call(self._cu.cuCtxPopCurrent)

    def allocate(self, nbytes: int) -> int:
        return int(self._call(self._cu.cuMemAlloc, nbytes, detail=format_mib(nbytes)))

    def free(self, address: int) -> None:
        self._call(self._cu.cuMemFree, address)

    def allocate_pinned(self, nbytes: int) -> int:
        return int(self._call(self._cu.cuMemHostAlloc, nbytes, 0, detail=format_mib(nbytes)))

    def free_pinned(self, address: int) -> None:
        self._call(self._cu.cuMemFreeHost, address)

    def copy_htod(self, address: int, host: NDArray[Any], stream: int) -> None:
        self._call(self._cu.cuMemcpyHtoDAsync, address, host.ctypes.data, host.nbytes, stream)

    def copy_dtoh(self, host: NDArray[Any], address: int, stream: int) -> None:
        self._call(self._cu.cuMemcpyDtoHAsync, host.ctypes.data, address, host.nbytes, stream)

    def copy_dtod(self, target: int, source: int, nbytes: int, stream: int) -> None:
        self._call(self._cu.cuMemcpyDtoDAsync, target, source, nbytes, stream)

    def fill(self, address: int, value: int, nbytes: int, stream: int) -> None:
        self._call(self._cu.cuMemsetD8Async, address, value, nbytes, stream)

    def stream_create(self) -> int:
        return int(self._call(self._cu.cuStreamCreate, self._cu.CUstream_flags.CU_STREAM_NON_BLOCKING))

    def stream_synchronize(self, stream: int) -> None:
        self._call(self._cu.cuStreamSynchronize, stream)

    def stream_destroy(self, stream: int) -> None:
        self._call(self._cu.cuStreamDestroy, stream)

    def stream_wait(self, stream: int, other: int) -> None:
        event = self.event_create()
        try:
            self._call(self._cu.cuEventRecord, event, other)
            self._call(self._cu.cuStreamWaitEvent, stream, event, 0)
        finally:
            self.event_destroy(event)

    def event_create(self) -> int:
        return int(self._call(self._cu.cuEventCreate, self._cu.CUevent_flags.CU_EVENT_DEFAULT))

    def event_record(self, event: int, stream: int) -> None:
        self._call(self._cu.cuEventRecord, event, stream)

    def event_reached(self, event: int) -> bool:
        status, *_ = self._cu.cuEventQuery(event)
        if status not in (self._cu.CUresult.CUDA_SUCCESS, self._cu.CUresult.CUDA_ERROR_NOT_READY):
            raise driver_error("cuEventQuery", getattr(status, "name", str(status)))
        return bool(status == self._cu.CUresult.CUDA_SUCCESS)

    def event_synchronize(self, event: int) -> None:
        self._call(self._cu.cuEventSynchronize, event)

    def event_elapsed_ms(self, start: int, end: int) -> float:
        self._call(self._cu.cuEventSynchronize, end)
        return float(self._call(self._cu.cuEventElapsedTime, start, end))

    def event_destroy(self, event: int) -> None:
        self._call(self._cu.cuEventDestroy, event)

    def capture_begin(self, stream: int) -> None:
        mode = self._cu.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL  # does not restrict other threads
        self._call(self._cu.cuStreamBeginCapture, stream, mode)

    def capture_end(self, stream: int) -> int:
        graph = self._call(self._cu.cuStreamEndCapture, stream)
        try:
            return int(self._call(self._cu.cuGraphInstantiate, graph, 0))
        finally:
            self._call(self._cu.cuGraphDestroy, graph)

    def capture_abort(self, stream: int) -> None:
        status, graph = self._cu.cuStreamEndCapture(stream)
        if status == self._cu.CUresult.CUDA_SUCCESS:
            self._call(self._cu.cuGraphDestroy, graph)

    def graph_launch(self, graph: int, stream: int) -> None:
        self._call(self._cu.cuGraphLaunch, graph, stream)

    def graph_destroy(self, graph: int) -> None:
        self._call(self._cu.cuGraphExecDestroy, graph)

    def compile(self, source: str, name: str) -> bytes:
        return compile_kernels(self._nvrtc, source, name, self.properties.compute_capability)

    def module_load(self, image: bytes) -> int:
        return int(self._call(self._cu.cuModuleLoadData, image))

    def module_function(self, module: int, name: str) -> int:
        return int(self._call(self._cu.cuModuleGetFunction, module, name.encode(), detail=name))

    def module_unload(self, module: int) -> None:
        self._call(self._cu.cuModuleUnload, module)

    def launch(
        self,
        function: int,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: tuple[np.generic, ...],
        stream: int,
    ) -> None:
        values = [np.array(argument) for argument in arguments]
        addresses = np.array([value.ctypes.data for value in values], np.uint64)
        self._call(self._cu.cuLaunchKernel, function, *grid, *block, 0, stream, addresses.ctypes.data, 0)
