"""What the stages of one pipeline share on a GPU."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...engines.cuda.array import DeviceArray
from ...engines.cuda.device import Gpu
from ...engines.cuda.frame_ops import FrameOps
from ...engines.cuda.streams import Event, Stream
from ...engines.errors import EngineError
from ...engines.session import Session
from ..profiling.timing import Span

if TYPE_CHECKING:
    from ...engines.cuda.array import DeviceArray
    from ...engines.cuda.device import Gpu


class GpuContext:
    """One stream, and on it kernels, memory and a clock.

    Args:
        gpu: where everything lies; it has to outlive this.

    Raises:
        EngineError: the kernels do not compile here.
    """

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        with ExitStack() as owned:
            self.stream = gpu.stream()
            owned.callback(self.stream.close)
            self.stages = owned.enter_context(FrameOps(gpu, self.stream))
            self.room = BufferPool(gpu, self.stream)
            owned.callback(self.room.close)
            self.clock = GpuTimer(gpu, self.stream)
            owned.callback(self.clock.close)
            self._owned: ExitStack | None = owned.pop_all()

    def check_open(self) -> None:
        """Refuse to work after `close`.

        Raises:
            EngineError: closed.
        """
        if self._owned is None:
            raise EngineError("the pipeline is closed; load it again")

    def download(self, name: str, array: DeviceArray) -> NDArray[Any]:
        """Queue a copy into page-locked memory of a name, which holds it once the stream has passed."""
        here = self.room.pinned(name, array.shape, array.dtype)
        self.gpu.download(array, here, self.stream)
        return here

    def close(self) -> None:
        """Give everything back, the stream last, once it has passed; harmless when done already."""
        owned, self._owned = self._owned, None
        if owned is not None:
            owned.close()


class BufferPool:
    """Memory by name. What a name had before is overwritten; memory is taken anew only where more is needed than ever.

    Args:
        gpu: where it lies.
        stream: whose work fills and reads it.
    """

    def __init__(self, gpu: Gpu, stream: Stream) -> None:
        self._gpu, self._stream = gpu, stream
        self._there: dict[str, DeviceArray] = {}
        self._here: dict[str, NDArray[np.uint8]] = {}

    def on_gpu(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> DeviceArray:
        """An array on the GPU, its content undefined."""
        needed = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if name not in self._there or self._there[name].nbytes < needed:
            if name in self._there:
                self._there.pop(name).close()
            self._there[name] = self._gpu.empty((needed,), np.uint8)
        array = self._there[name].part(shape, dtype)
        array.stream = self._stream
        return array

    def pinned(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
        """A page-locked array on the host, its content undefined."""
        needed = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if name not in self._here or self._here[name].nbytes < needed:
            self._here.pop(name, None)
            self._here[name] = self._gpu.pinned((needed,), np.uint8)
        array: NDArray[Any] = self._here[name][:needed].view(dtype).reshape(shape)
        return array

    def close(self) -> None:
        """Give the memory back; harmless when done already."""
        for array in self._there.values():
            array.close()
        self._there.clear()
        self._here.clear()


@runtime_checkable
class DeviceSession(Session, Protocol):
    """A session that takes and gives arrays in a GPU's memory."""

    gpu: Gpu

    def infer_on_device(self, array: Any) -> DeviceArray:
        """Queue a batch.

        Args:
            array: (N, H, W, 3) uint8 BGR on the GPU, of a shape that the contract allows; any N.

        Returns:
            What the contract says, in memory of the session's own: valid until the next call.
        """


class GpuTimer:
    """Times stretches of a stream's work by CUDA events, without waiting for any of it.

    A stretch lasts from when the stream reaches its start to when it has passed its end: what the host does
    meanwhile counts where the stream has nothing else to do.

    Args:
        gpu: whose clock it is.
        stream: whose work is timed.
    """

    def __init__(self, gpu: Gpu, stream: Stream) -> None:
        self._gpu, self._stream = gpu, stream
        self._events: list[Event] = []
        self._used = 0
        self._stages: list[tuple[str, Event, Event]] = []

    def begin(self) -> None:
        """Forget what was timed; the events are used again."""
        self._used = 0
        self._stages.clear()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is queued inside the ``with``."""
        start = self._mark()
        yield
        self._stages.append((name, start, self._mark()))

    def spans(self) -> list[Span]:
        """What was timed, laid onto the host's clock: the end of the last stretch is now.

        To be called right after the stream was waited for.
        """
        now = time.perf_counter_ns()
        if not self._stages:
            return []
        last = self._events[self._used - 1]
        return [
            Span(name, now - _nanoseconds(start, last), _nanoseconds(start, end)) for name, start, end in self._stages
        ]

    def close(self) -> None:
        """Give the events back; harmless when done already."""
        self.begin()
        for event in self._events:
            event.close()
        self._events.clear()

    def _mark(self) -> Event:
        if self._used == len(self._events):
            self._events.append(self._gpu.event())
        event = self._events[self._used]
        event.record(self._stream)
        self._used += 1
        return event


def _nanoseconds(start: Event, end: Event) -> int:
    return round(1e6 * end.milliseconds_since(start))
