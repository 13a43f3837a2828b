"""Queues of work on a GPU: streams, the events that time them, the graphs that repeat them."""

from __future__ import annotations

from ..errors import EngineError
from .context import Context, Owned


class Stream(Owned):
    """A queue of work. `handle` is the number that TensorRT, PyTorch and CuPy know it by."""

    def __init__(self, context: Context) -> None:
        api = context.api
        with context.current():
            self.handle = api.stream_create()
        super().__init__(context, "stream", api.stream_destroy, [self.handle])

    def synchronize(self) -> None:
        """Block until all that was queued is done.

        Raises:
            EngineError: closed, or some of the work failed.
        """
        api = self.api()
        with self._context.current():
            api.stream_wait(self.handle)

    def follow(self, other: int) -> None:
        """Start what is queued from now on after what is queued on another stream.

        Args:
            other: its handle; it may be another library's.
        """
        api = self.api()
        with self._context.current():
            api.order(other, self.handle)

    def lead(self, other: int) -> None:
        """Let another stream start what is queued there from now on after what is queued here.

        Args:
            other: its handle; it may be another library's.
        """
        api = self.api()
        with self._context.current():
            api.order(self.handle, other)

    def close(self) -> None:
        """Wait for what is queued, then give the stream back; harmless when done already."""
        if not self.closed:
            try:
                self.synchronize()
            finally:
                super().close()


class Event(Owned):
    """A mark in a stream's work that knows when it was passed."""

    def __init__(self, context: Context) -> None:
        api = context.api
        with context.current():
            self._handle = api.event_create()
        super().__init__(context, "event", api.event_destroy, [self._handle])

    def record(self, stream: Stream) -> None:
        """Put the mark behind what is queued now."""
        api = self.api()
        stream.api()
        with self._context.current():
            api.event_record(self._handle, stream.handle)

    def milliseconds_since(self, earlier: Event) -> float:
        """Time between two marks by the GPU's clock; blocks until this one is passed."""
        api = self.api()
        earlier.api()
        with self._context.current():
            return api.event_milliseconds(earlier._handle, self._handle)


class CudaGraph(Owned):
    """Work that was captured once, to be queued as a whole. `Gpu.capture` makes it; it is ready after its block."""

    def __init__(self, context: Context) -> None:
        self._handles: list[int] = []
        super().__init__(context, "graph", context.api.graph_destroy, self._handles)

    def hold(self, handle: int) -> None:
        """Take what was captured."""
        self._handles.append(handle)

    def launch(self, stream: Stream) -> None:
        """Queue the work.

        Raises:
            EngineError: closed, or nothing was captured.
        """
        api = self.api()
        stream.api()
        if not self._handles:
            raise EngineError("the graph holds nothing; launch it after its `with gpu.capture(stream)` block")
        with self._context.current():
            api.graph_launch(self._handles[0], stream.handle)
