"""NVIDIA's own bindings of the CUDA driver, cuda-python: the one file that imports them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError, MissingDependencyError
from .compiler import cubin
from .driver import DeviceFacts, driver_error, mebibytes


def _import() -> tuple[Any, Any]:
    """The bindings of the driver and of the run-time compiler."""
    try:
        from cuda.bindings import driver, nvrtc
    except ImportError:
        raise MissingDependencyError("cuda-python", "tensorrt", "running on a GPU") from None
    return driver, nvrtc


class CudaPython:
    """A `Driver` by cuda-python, 12.8 to 13.x.

    Args:
        index: number of the device.

    Raises:
        MissingDependencyError: cuda-python is not installed.
        EngineError: no driver, or no such GPU.
    """

    graphs = True

    def __init__(self, index: int) -> None:
        self._cu, self._nvrtc = _import()
        cu = self._cu
        release = version("cuda-bindings")
        self.runtime = f"cuda-python {release}"
        try:
            self._call(cu.cuInit, 0)
        except (RuntimeError, ImportError) as error:  # the bindings load libcuda with their first call
            reason = str(error).splitlines()[0]
            raise EngineError(f"no NVIDIA driver here ({reason}); facesr-edge doctor says what is missing") from None
        newest, own = self._call(cu.cuDriverGetVersion), int(release.split(".")[0])
        served = f"{newest // 1000}.{newest % 1000 // 10}"
        if own > newest // 1000:
            raise EngineError(
                f"{self.runtime} is for CUDA {own}, the driver serves CUDA {served}; update the driver, "
                f"or pip install 'cuda-bindings<{newest // 1000 + 1}' nvidia-cuda-nvrtc-cu{newest // 1000}"
            )
        self._device = self._call(cu.cuDeviceGet, index)
        self._context = self._call(cu.cuDevicePrimaryCtxRetain, self._device)
        finalize(self, cu.cuDevicePrimaryCtxRelease, self._device)
        self.facts = self._facts(served)

    def _facts(self, served: str) -> DeviceFacts:
        cu, device = self._cu, self._device
        attribute = cu.CUdevice_attribute
        major = self._call(cu.cuDeviceGetAttribute, attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device)
        minor = self._call(cu.cuDeviceGetAttribute, attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device)
        name = self._call(cu.cuDeviceGetName, 256, device)
        return DeviceFacts(
            name.split(b"\0")[0].decode("utf-8", "replace"),
            (major, minor),
            self._call(cu.cuDeviceTotalMem, device),
            served,
        )

    def _call(self, function: Any, *arguments: Any, detail: str = "") -> Any:
        """Call the driver: its result without the status, nothing where there is none."""
        status, *results = function(*arguments)
        if status != self._cu.CUresult.CUDA_SUCCESS:
            raise driver_error(function.__name__, getattr(status, "name", str(status)), detail)
        return results[0] if results else None

    def push(self) -> None:
        """See `Driver.push`."""
        self._call(self._cu.cuCtxPushCurrent, self._context)

    def pop(self) -> None:
        """See `Driver.pop`."""
        self._call(self._cu.cuCtxPopCurrent)

    def allocate(self, nbytes: int) -> int:
        """See `Driver.allocate`."""
        return int(self._call(self._cu.cuMemAlloc, nbytes, detail=mebibytes(nbytes)))

    def free(self, address: int) -> None:
        """See `Driver.free`."""
        self._call(self._cu.cuMemFree, address)

    def pin(self, nbytes: int) -> int:
        """See `Driver.pin`."""
        return int(self._call(self._cu.cuMemHostAlloc, nbytes, 0, detail=mebibytes(nbytes)))

    def unpin(self, address: int) -> None:
        """See `Driver.unpin`."""
        self._call(self._cu.cuMemFreeHost, address)

    def to_device(self, address: int, host: NDArray[Any], stream: int) -> None:
        """See `Driver.to_device`."""
        self._call(self._cu.cuMemcpyHtoDAsync, address, host.ctypes.data, host.nbytes, stream)

    def to_host(self, host: NDArray[Any], address: int, stream: int) -> None:
        """See `Driver.to_host`."""
        self._call(self._cu.cuMemcpyDtoHAsync, host.ctypes.data, address, host.nbytes, stream)

    def copy_dtod(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """See `Driver.copy_dtod`."""
        self._call(self._cu.cuMemcpyDtoDAsync, target, source, nbytes, stream)

    def stream_create(self) -> int:
        """See `Driver.stream_create`."""
        return int(self._call(self._cu.cuStreamCreate, self._cu.CUstream_flags.CU_STREAM_NON_BLOCKING))

    def stream_wait(self, stream: int) -> None:
        """See `Driver.stream_wait`."""
        self._call(self._cu.cuStreamSynchronize, stream)

    def stream_destroy(self, stream: int) -> None:
        """See `Driver.stream_destroy`."""
        self._call(self._cu.cuStreamDestroy, stream)

    def order(self, first: int, then: int) -> None:
        """See `Driver.order`."""
        event = self.event_create()
        try:
            self._call(self._cu.cuEventRecord, event, first)
            self._call(self._cu.cuStreamWaitEvent, then, event, 0)
        finally:
            self.event_destroy(event)

    def event_create(self) -> int:
        """See `Driver.event_create`."""
        return int(self._call(self._cu.cuEventCreate, self._cu.CUevent_flags.CU_EVENT_DEFAULT))

    def event_record(self, event: int, stream: int) -> None:
        """See `Driver.event_record`."""
        self._call(self._cu.cuEventRecord, event, stream)

    def event_milliseconds(self, start: int, end: int) -> float:
        """See `Driver.event_milliseconds`."""
        self._call(self._cu.cuEventSynchronize, end)
        return float(self._call(self._cu.cuEventElapsedTime, start, end))

    def event_destroy(self, event: int) -> None:
        """See `Driver.event_destroy`."""
        self._call(self._cu.cuEventDestroy, event)

    def capture_begin(self, stream: int) -> None:
        """See `Driver.capture_begin`."""
        mode = self._cu.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL  # other threads do as they like
        self._call(self._cu.cuStreamBeginCapture, stream, mode)

    def capture_end(self, stream: int) -> int:
        """See `Driver.capture_end`."""
        graph = self._call(self._cu.cuStreamEndCapture, stream)
        try:
            return int(self._call(self._cu.cuGraphInstantiate, graph, 0))
        finally:
            self._call(self._cu.cuGraphDestroy, graph)

    def capture_drop(self, stream: int) -> None:
        """See `Driver.capture_drop`."""
        status, graph = self._cu.cuStreamEndCapture(stream)
        if status == self._cu.CUresult.CUDA_SUCCESS:
            self._call(self._cu.cuGraphDestroy, graph)

    def graph_launch(self, graph: int, stream: int) -> None:
        """See `Driver.graph_launch`."""
        self._call(self._cu.cuGraphLaunch, graph, stream)

    def graph_destroy(self, graph: int) -> None:
        """See `Driver.graph_destroy`."""
        self._call(self._cu.cuGraphExecDestroy, graph)

    def compile(self, source: str, name: str) -> bytes:
        """See `Driver.compile`."""
        return cubin(self._nvrtc, source, name, self.facts.compute_capability)

    def module_load(self, image: bytes) -> int:
        """See `Driver.module_load`."""
        return int(self._call(self._cu.cuModuleLoadData, image))

    def module_function(self, module: int, name: str) -> int:
        """See `Driver.module_function`."""
        return int(self._call(self._cu.cuModuleGetFunction, module, name.encode(), detail=name))

    def module_unload(self, module: int) -> None:
        """See `Driver.module_unload`."""
        self._call(self._cu.cuModuleUnload, module)

    def launch(
        self,
        function: int,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: tuple[np.generic, ...],
        stream: int,
    ) -> None:
        """See `Driver.launch`."""
        values = [np.array(argument) for argument in arguments]
        addresses = np.array([value.ctypes.data for value in values], np.uint64)
        self._call(self._cu.cuLaunchKernel, function, *grid, *block, 0, stream, addresses.ctypes.data, 0)
