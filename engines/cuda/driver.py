"""What this package asks of the CUDA driver, whichever bindings ask it; and what a failure of the driver means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError


@dataclass(frozen=True)
class DeviceFacts:
    """What the driver says of a GPU.

    Args:
        name: e.g. "Orin".
        compute_capability: e.g. (8, 7).
        memory_bytes: all of its memory.
        driver: newest CUDA that the driver serves, e.g. "13.0".
    """

    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    driver: str


class Driver(Protocol):
    """The driver, with one device's primary context held until nobody holds this. Handles and addresses are integers.

    Every call but `push` wants the context to be current. All raise EngineError.
    """

    runtime: str
    """Bindings and their version, e.g. "cuda-python 13.0.1"."""
    graphs: bool
    facts: DeviceFacts

    def push(self) -> None:
        """Make the context current in this thread."""

    def pop(self) -> None:
        """Make current again what was current before."""

    def allocate(self, nbytes: int) -> int:
        """Address of fresh device memory."""

    def free(self, address: int) -> None:
        """Give device memory back."""

    def pin(self, nbytes: int) -> int:
        """Address of fresh page-locked host memory."""

    def unpin(self, address: int) -> None:
        """Give page-locked memory back."""

    def to_device(self, address: int, host: NDArray[Any], stream: int) -> None:
        """Copy a contiguous host array."""

    def to_host(self, host: NDArray[Any], address: int, stream: int) -> None:
        """Copy into a contiguous host array."""

    def copy_dtod(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """Copy within the device."""

    def stream_create(self) -> int:
        """A stream that does not wait for the default one."""

    def stream_wait(self, stream: int) -> None:
        """Block until all that was queued is done."""

    def stream_destroy(self, stream: int) -> None:
        """Give a stream back."""

    def order(self, first: int, then: int) -> None:
        """Work queued on stream `then` from now on starts after what is queued on `first`; also streams of others."""

    def event_create(self) -> int:
        """An event with a clock."""

    def event_record(self, event: int, stream: int) -> None:
        """The event happens when the stream gets there."""

    def event_milliseconds(self, start: int, end: int) -> float:
        """Time between two events; blocks until the second has happened."""

    def event_destroy(self, event: int) -> None:
        """Give an event back."""

    def capture_begin(self, stream: int) -> None:
        """From now on the stream's work is written down and not done."""

    def capture_end(self, stream: int) -> int:
        """The work that was written down, ready to launch."""

    def capture_drop(self, stream: int) -> None:
        """End a capture that went wrong."""

    def graph_launch(self, graph: int, stream: int) -> None:
        """Queue all of a graph's work."""

    def graph_destroy(self, graph: int) -> None:
        """Give a graph back."""

    def compile(self, source: str, name: str) -> bytes:
        """CUDA C++ compiled for this device."""

    def module_load(self, image: bytes) -> int:
        """Load compiled kernels."""

    def module_function(self, module: int, name: str) -> int:
        """Find a kernel."""

    def module_unload(self, module: int) -> None:
        """Give a module back."""

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
    "OUT_OF_MEMORY": "the GPU has no memory left; stop other programs on it, or run fewer or smaller engines",
    "NO_DEVICE": "the driver sees no GPU; check nvidia-smi, CUDA_VISIBLE_DEVICES and the container's --gpus",
    "INVALID_DEVICE": "no GPU of that number; nvidia-smi lists them",
    "DEVICE_UNAVAILABLE": "another process has the GPU for itself; stop it, or set the compute mode to default",
    "INSUFFICIENT_DRIVER": "the NVIDIA driver is too old; update it",
    "SYSTEM_DRIVER_MISMATCH": "the NVIDIA driver was updated while it was in use; restart the machine",
    "STUB_LIBRARY": "libcuda.so.1 is the toolkit's stub, not a driver; install the NVIDIA driver",
    "NOT_FOUND": "something has a name that is not there; the release may be damaged, install facesr-edge again",
    "NO_BINARY_FOR_GPU": "the kernels were compiled for another GPU; close the engine and load it again",
    "UNSUPPORTED_PTX_VERSION": "the kernels' compiler is newer than the driver; update the driver",
    "ILLEGAL_ADDRESS": "a kernel left its memory and the GPU's context is lost; restart the program",
    "LAUNCH_FAILED": "a kernel crashed and the GPU's context is lost; restart the program",
    "INVALID_CONTEXT": "no context is current; call it within the GPU's `with gpu.current()`",
    "CONTEXT_IS_DESTROYED": "the GPU's context was destroyed by somebody else in this process; load the engine again",
}


def driver_error(call: str, result: str, detail: str = "") -> EngineError:
    """A failure of the driver in words.

    Args:
        call: what was called, e.g. "cuMemAlloc".
        result: the driver's name of what went wrong, e.g. "CUDA_ERROR_OUT_OF_MEMORY".
        detail: what was asked, e.g. "512.0 MiB".
    """
    code = result.removeprefix("CUDA_ERROR_")
    remedy = _REMEDIES.get(code, "facesr-edge doctor says what is amiss")
    return EngineError(f"the GPU refused {call}{f' of {detail}' if detail else ''} ({result}): {remedy}")


def mebibytes(nbytes: int) -> str:
    """A size in words: "512.0 MiB"."""
    return f"{nbytes / 2**20:.1f} MiB"
