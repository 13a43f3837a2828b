"""Driver protocol: the CUDA driver calls that this package uses, and the translation of driver errors.

Implemented over cuda-python (`cuda_python.py`) and pycuda (`pycuda.py`). `cuda.core` (checked at 1.2) does not replace
it: its pinned-memory pools do not work on Jetson Orin, `Device.set_current` does not restore the caller's context, and
its typed views have no ``__cuda_array_interface__`` and do not synchronize the consumer's stream on export. The pycuda
fallback would remain as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError


@dataclass(frozen=True)
class DeviceProperties:
    """Properties of a GPU, as reported by the driver.

    Args:
        name: e.g. "Orin".
        compute_capability: e.g. (8, 7).
        memory_bytes: total device memory.
        driver: newest CUDA version that the driver supports, e.g. "13.0".
        multiprocessors: number of them; those that a Jetson's power mode switches off do not count.
    """

    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    driver: str
    multiprocessors: int


class Driver(Protocol):
    """CUDA driver API of one device; retains the primary context for its own lifetime.

    Handles and addresses are integers. Every call except `push` requires a current context and raises EngineError on
    failure.
    """

    runtime: str
    """Bindings and their version, e.g. "cuda-python 13.0.1"."""
    graphs: bool
    properties: DeviceProperties

    def push(self) -> None:
        """Push the context onto this thread's context stack."""

    def pop(self) -> None:
        """Pop the context; the previous one is current again."""

    def allocate(self, nbytes: int) -> int:
        """Allocate device memory; returns its address."""

    def free(self, address: int) -> None:
        """Free device memory."""

    def allocate_pinned(self, nbytes: int) -> int:
        """Allocate page-locked host memory; returns its address."""

    def free_pinned(self, address: int) -> None:
        """Free page-locked host memory."""

    def copy_htod(self, address: int, host: NDArray[Any], stream: int) -> None:
        """Queue a copy of a contiguous host array to device memory."""

    def copy_dtoh(self, host: NDArray[Any], address: int, stream: int) -> None:
        """Queue a copy of device memory into a contiguous host array."""

    def copy_dtod(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """Queue a copy within device memory."""

    def fill(self, address: int, value: int, nbytes: int, stream: int) -> None:
        """Queue setting bytes of device memory to a value."""

    def stream_create(self) -> int:
        """Create a stream that does not synchronize with the default stream."""

    def stream_synchronize(self, stream: int) -> None:
        """Block until all queued work is done."""

    def stream_destroy(self, stream: int) -> None:
        """Destroy a stream."""

    def stream_wait(self, stream: int, other: int) -> None:
        """Let work queued on `stream` from now on wait for the work queued on `other`; may be streams of others."""

    def event_create(self) -> int:
        """Create an event with timing enabled."""

    def event_record(self, event: int, stream: int) -> None:
        """Record the event on a stream."""

    def event_reached(self, event: int) -> bool:
        """Whether the work before the last record of the event is done; does not block."""

    def event_synchronize(self, event: int) -> None:
        """Block until the work before the last record of the event is done."""

    def event_elapsed_ms(self, start: int, end: int) -> float:
        """Time between two recorded events in ms; blocks until the second is reached."""

    def event_destroy(self, event: int) -> None:
        """Destroy an event."""

    def capture_begin(self, stream: int) -> None:
        """Begin to capture the stream's work into a graph; captured work is not executed."""

    def capture_end(self, stream: int) -> int:
        """End the capture and instantiate the graph."""

    def capture_abort(self, stream: int) -> None:
        """End a capture that failed."""

    def graph_launch(self, graph: int, stream: int) -> None:
        """Queue a graph."""

    def graph_destroy(self, graph: int) -> None:
        """Destroy a graph."""

    def compile(self, source: str, name: str) -> bytes:
        """Compile CUDA C++ for this device."""

    def module_load(self, image: bytes) -> int:
        """Load compiled kernels."""

    def module_function(self, module: int, name: str) -> int:
        """Look up a kernel by name."""

    def module_unload(self, module: int) -> None:
        """Unload a module."""

    def launch(
        self,
        function: int,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: tuple[np.generic, ...],
        stream: int,
    ) -> None:
        """Queue a kernel."""


_REMEDIES = {
    "OUT_OF_MEMORY": "out of GPU memory; stop other programs that use the GPU, or run fewer or smaller engines",
    "NO_DEVICE": "the driver finds no GPU; check nvidia-smi, CUDA_VISIBLE_DEVICES and the container's --gpus",
    "INVALID_DEVICE": "no GPU of that number; nvidia-smi lists them",
    "DEVICE_UNAVAILABLE": "another process uses the GPU exclusively; stop it, or set the compute mode to default",
    "INSUFFICIENT_DRIVER": "the NVIDIA driver is too old; update it",
    "SYSTEM_DRIVER_MISMATCH": "the NVIDIA driver was updated while in use; restart the machine",
    "STUB_LIBRARY": "libcuda.so.1 is the toolkit's stub, not a driver; install the NVIDIA driver",
    "NOT_FOUND": "a named symbol does not exist; the installation may be damaged, reinstall facesr-edge",
    "NO_BINARY_FOR_GPU": "the kernels were compiled for another GPU; close the engine and load it again",
    "UNSUPPORTED_PTX_VERSION": "the kernel compiler is newer than the driver; update the driver",
    "ILLEGAL_ADDRESS": "a kernel accessed invalid memory and the GPU's context is lost; restart the program",
    "LAUNCH_FAILED": "a kernel crashed and the GPU's context is lost; restart the program",
    "INVALID_CONTEXT": "no context is current; call it within `with gpu.current()`",
    "CONTEXT_IS_DESTROYED": "other code in this process destroyed the GPU's context; load the engine again",
}


def driver_error(call: str, result: str, detail: str = "") -> EngineError:
    """EngineError for a failed driver call.

    Args:
        call: function name, e.g. "cuMemAlloc".
        result: error name, e.g. "CUDA_ERROR_OUT_OF_MEMORY".
        detail: what was requested, e.g. "512.0 MiB".
    """
    code = result.removeprefix("CUDA_ERROR_")
    remedy = _REMEDIES.get(code, "run facesr-edge doctor to check the installation")
    return EngineError(f"CUDA call {call}{f' of {detail}' if detail else ''} failed ({result}): {remedy}")


def format_mib(nbytes: int) -> str:
    """Size in MiB, e.g. "512.0 MiB"."""
    return f"{nbytes / 2**20:.1f} MiB"
