"""Stream and kernels that the stages of one pipeline share on a GPU, and a lane for each frame in flight."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from threading import RLock
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...engines.cuda.array import DeviceArray
from ...engines.cuda.device import Gpu
from ...engines.cuda.frame_ops import FrameOps
from ...engines.cuda.output import DeviceOutput
from ...engines.cuda.streams import Event, Stream
from ...engines.errors import EngineError
from ...engines.session import Session
from ..profiling.timing import Span, Stopwatch
from .loans import PinnedLoans


@runtime_checkable
class DeviceSession(Session, Protocol):
    """A session that takes and returns arrays in GPU memory.

    Attributes:
        gpu: where they are.
        lock: reentrant, held during a call, and by callers until they have read the result of `output_on_device`.
    """

    gpu: Gpu
    lock: AbstractContextManager[Any]

    def infer_on_device(self, array: Any) -> DeviceArray:
        """The `tensor` of `output_on_device`."""

    def input_of(self, shape: tuple[int, ...]) -> DeviceArray | None:
        """The engine's own input, which `output_on_device` takes without a copy.

        Args:
            shape: (N, H, W, 3).

        Returns:
            An array to write on a stream that waits for its `stream`; None if this shape takes several calls.
        """

    def output_on_device(self, array: Any) -> DeviceOutput:
        """Queue a batch.

        Args:
            array: (N, H, W, 3) uint8 BGR on the GPU, of a shape that `IOSpec` allows; any N.

        Returns:
            Arrays in memory of the session: the tensor is valid until the next call with images of this size, the
            residual until the next call.
        """


class GpuContext:
    """One stream with the kernels on it, and a lane for each frame in flight.

    `lane` and `close` may be called in any thread; the stream is used within `opened`.

    Args:
        gpu: must outlive the context.

    Raises:
        EngineError: the kernels do not compile for this GPU.
    """

    def __init__(self, gpu: Gpu) -> None:
        self.gpu, self._lock = gpu, RLock()
        self._free: list[Lane] = []
        with ExitStack() as owned:
            self.stream = gpu.stream()
            owned.callback(self.stream.close)
            self.ops = owned.enter_context(FrameOps(gpu, self.stream))
            self.loans = {name: PinnedLoans(gpu) for name in ("source", "composite")}
            for loans in self.loans.values():
                owned.callback(loans.close)
            self._marks = gpu.event(), gpu.event()
            for mark in self._marks:
                owned.callback(mark.close)
            self._owned: ExitStack | None = owned.pop_all()
        self.reached: tuple[Event, int] | None = None
        """The last event that the host waited for, and when it was reached, in ns on the clock of spans."""

    @contextmanager
    def opened(self) -> Iterator[GpuContext]:
        """Within the block, other threads and `close` wait; raises an EngineError after `close`."""
        with self._lock:
            if self._owned is None:
                raise EngineError("the pipeline is closed; load it again")
            yield self

    @contextmanager
    def lane(self, spans: Iterable[Span]) -> Iterator[Lane]:
        """A lane for one frame; after an error the stream is synchronized before another frame gets it."""
        with self.opened():
            lane = self._free.pop() if self._free else Lane(self)
        lane.begin(spans)
        try:
            yield lane
        except BaseException:
            with suppress(EngineError), self.opened():  # the first error is raised; queued work may use the buffers
                self.stream.synchronize()
            raise
        finally:
            lane.held.close()
            lane.composite = None  # a loan
            with self._lock:
                if self._owned is None:
                    lane.close()
                else:
                    self._free.append(lane)

    def wait(self) -> tuple[Event, int]:
        """Block until all work queued so far is done; returns `reached`."""
        mark = self._marks[self.reached is not None and self.reached[0] is self._marks[0]]
        mark.record(self.stream)
        mark.synchronize()
        self.reached = mark, time.perf_counter_ns()
        return self.reached

    def input_for(self, session: DeviceSession, shape: tuple[int, ...]) -> DeviceArray | None:
        """`DeviceSession.input_of`, ready to be written on the stream."""
        array = session.input_of(shape)
        if array is not None and array.stream is not None:
            self.stream.wait_for(array.stream.handle)
        return array

    def output_read(self, output: DeviceArray) -> None:
        """Let the next call of a session wait until the stream has read its input and output."""
        if output.stream is not None:
            self.stream.signal(output.stream.handle)

    def close(self) -> None:
        """Release everything, the stream last, after its work is done; idempotent."""
        with self._lock:
            owned, self._owned = self._owned, None
            if owned is not None:
                with suppress(EngineError):  # a lost context has raised before
                    self.stream.synchronize()
                for lane in self._free:
                    lane.close()
                self._free.clear()
                owned.close()


class BufferPool:
    """Buffers by name, used on one stream. A request reuses the buffer of a name; it allocates only if it must grow."""

    def __init__(self, gpu: Gpu, stream: Stream) -> None:
        self._gpu, self._stream = gpu, stream
        self._device: dict[str, DeviceArray] = {}
        self._pinned: dict[str, NDArray[np.uint8]] = {}

    def device(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> DeviceArray:
        """An uninitialized array on the GPU."""
        size = _nbytes(shape, dtype)
        if name not in self._device or self._device[name].nbytes < size:
            if name in self._device:
                self._device.pop(name).close()
            self._device[name] = self._gpu.empty((size,), np.uint8)
        array = self._device[name].part(shape, dtype)
        array.stream = self._stream
        return array

    def pinned(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
        """An uninitialized page-locked array on the host."""
        size = _nbytes(shape, dtype)
        if name not in self._pinned or self._pinned[name].nbytes < size:
            self._pinned.pop(name, None)
            self._pinned[name] = self._gpu.pinned((size,), np.uint8)
        array: NDArray[Any] = self._pinned[name][:size].view(dtype).reshape(shape)
        return array

    def close(self) -> None:
        """Release the memory; idempotent."""
        for array in self._device.values():
            array.close()
        self._device.clear()
        self._pinned.clear()


def _nbytes(shape: tuple[int, ...], dtype: DTypeLike) -> int:
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize


@dataclass(frozen=True, eq=False)
class Download:
    """An image in page-locked memory, once the stream is synchronized.

    Args:
        pixels: (H, W, 3) uint8 BGR.
        lent: whether results may keep it; if not, the next frame of the lane overwrites it.
    """

    pixels: NDArray[np.uint8]
    lent: bool

    def owned(self) -> NDArray[np.uint8]:
        """The pixels, in memory that later frames do not reuse."""
        return self.pixels if self.lent else self.pixels.copy()


class Lane(Stopwatch):
    """Buffers and stopwatch of one frame in flight. The stopwatch takes CUDA events and does not synchronize.

    A span lasts from when the stream reaches its start until it passes its end: host time in between counts if the
    stream is idle meanwhile. Work of the host alone is timed by `host_stage`.

    Args:
        context: stream and kernels.
    """

    def __init__(self, context: GpuContext) -> None:
        super().__init__()
        self.context, self.buffers = context, BufferPool(context.gpu, context.stream)
        self.composite: Download | None = None
        self.held = ExitStack()
        """Lock of a session whose memory the frame uses."""
        self._events: list[Event] = []
        self._used, self._reached_before = 0, context.reached
        self._stages: list[tuple[str, Event, Event]] = []

    def begin(self, spans: Iterable[Span]) -> None:
        """Start a frame with spans that were measured before; events are reused."""
        self._used, self.composite = 0, None
        self._stages.clear()
        self.spans = list(spans)

    def download(self, name: str, array: DeviceArray) -> NDArray[Any]:
        """Queue a copy into the page-locked buffer of a name; valid once the stream is synchronized."""
        host = self.buffers.pinned(name, array.shape, array.dtype)
        self.context.gpu.download(array, host, self.context.stream)
        return host

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is queued inside the ``with``."""
        start = self._record()
        yield
        self._stages.append((name, start, self._record()))

    def host_stage(self, name: str) -> AbstractContextManager[None]:
        """Time what the host does inside the ``with``."""
        return super().stage(name)

    def finish(self) -> None:
        """Wait until the work of the frame is done, and add the spans of the stream to those of the host.

        Waiting for a later frame on the same stream has waited for this one too.
        """
        reached = self.context.reached
        mark, now = self.context.wait() if reached is None or reached is self._reached_before else reached
        self.spans += [
            Span(name, now - _nanoseconds(start, mark), _nanoseconds(start, end)) for name, start, end in self._stages
        ]

    def download_result(self, name: str, image: DeviceArray) -> Download:
        """Queue a copy of an image that results hold; valid once the stream is synchronized."""
        lent = self.context.loans[name].take(image.shape)
        if lent is None:
            return Download(self.download(name, image), lent=False)
        self.context.gpu.download(image, lent, self.context.stream)
        return Download(lent, lent=True)

    def close(self) -> None:
        """Release buffers and events; idempotent."""
        self.begin(())
        for event in self._events:
            event.close()
        self._events.clear()
        self.buffers.close()

    def _record(self) -> Event:
        with self.context.opened() as context:
            if self._used == len(self._events):
                self._events.append(context.gpu.event())
            event = self._events[self._used]
            event.record(context.stream)
            self._used, self._reached_before = self._used + 1, context.reached
        return event


def _nanoseconds(start: Event, end: Event) -> int:
    return round(1e6 * end.milliseconds_since(start))
