"""CUDA streams, events and graphs."""

from __future__ import annotations

from ..errors import EngineError
from .context import Context, Owned


class Stream(Owned):
    """A CUDA stream. `handle` is the ``cudaStream_t`` that TensorRT, PyTorch and CuPy accept."""

    def __init__(self, context: Context) -> None:
        with context.current() as api:
            self.handle = api.stream_create()
        super().__init__(context, "stream", api.stream_destroy, [self.handle])

    def synchronize(self) -> None:
        """Block until all queued work is done; raises an EngineError if it failed or the stream is closed."""
        api = self.api()
        with self._context.current():
            api.stream_synchronize(self.handle)

    def wait_for(self, other: int) -> None:
        """Let later work here wait for the work queued on the stream of handle `other`, of any library."""
        api = self.api()
        with self._context.current():
            api.stream_wait(self.handle, other)

    def signal(self, other: int) -> None:
        """Let later work on the stream of handle `other`, of any library, wait for the work queued here."""
        api = self.api()
        with self._context.current():
            api.stream_wait(other, self.handle)

    def close(self) -> None:
        """Synchronize, then destroy the stream; no effect if closed."""
        if not self.closed:
            try:
                self.synchronize()
            finally:
                super().close()


class Event(Owned):
    """A CUDA event with timing."""

    def __init__(self, context: Context) -> None:
        with context.current() as api:
            self._handle = api.event_create()
        super().__init__(context, "event", api.event_destroy, [self._handle])

    def record(self, stream: Stream) -> None:
        """Record the event after the work queued so far."""
        api = self.api()
        stream.api()
        with self._context.current():
            api.event_record(self._handle, stream.handle)

    def reached(self) -> bool:
        """Whether the work before the last record is done; raises an EngineError if it failed. Does not block."""
        api = self.api()
        with self._context.current():
            return api.event_reached(self._handle)

    def synchronize(self) -> None:
        """Block until the work before the last record is done; raises an EngineError if it failed."""
        api = self.api()
        with self._context.current():
            api.event_synchronize(self._handle)

    def milliseconds_since(self, earlier: Event) -> float:
        """GPU time from an earlier event to this one, in ms; blocks until this event is reached."""
        api = self.api()
        earlier.api()
        with self._context.current():
            return api.event_elapsed_ms(earlier._handle, self._handle)


class CudaGraph(Owned):
    """Captured work that is launched as a whole; created by `Gpu.capture` and ready after its ``with`` block."""

    def __init__(self, context: Context) -> None:
        self._handles: list[int] = []
        super().__init__(context, "graph", context.api.graph_destroy, self._handles)

    def set_handle(self, handle: int) -> None:
        """Take ownership of the captured graph."""
        self._handles.append(handle)

    def launch(self, stream: Stream) -> None:
        """Queue the captured work; raises an EngineError if the graph is closed or its capture is not finished."""
        api = self.api()
        stream.api()
        if not self._handles:
            raise EngineError("the graph is empty; launch it after its `with gpu.capture(stream)` block")
        with self._context.current():
            api.graph_launch(self._handles[0], stream.handle)
