"""One shape of a TensorRT engine, ready to run: execution context, buffers, and the CUDA graph once it is captured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cuda.array import DeviceArray
from ..cuda.device import Gpu
from ..cuda.streams import CudaGraph, Stream
from ..errors import EngineError
from .api import Log


@dataclass(frozen=True)
class LoadedEngine:
    """An engine in the GPU's memory, and what all of its calls share.

    Args:
        trt: the TensorRT module.
        engine: an `ICudaEngine` of one input and one output.
        runtime: that made the engine, and has to live as long.
        pixels: name of the input.
        result: name of the output.
        gpu: where it is.
        stream: where all of it is queued.
        scratch: for the features of whichever call is running.
        log: what TensorRT says.
    """

    trt: Any
    engine: Any
    runtime: Any
    pixels: str
    result: str
    gpu: Gpu
    stream: Stream
    scratch: DeviceArray
    log: Log

    def context(self, profile: int, shape: tuple[int, ...]) -> Any:
        """An execution context for one shape, in the scratch memory that all share.

        Args:
            profile: the optimisation profile that holds the shape.
            shape: (N, H, W, 3).

        Raises:
            EngineError: TensorRT refused.
        """
        context = self.engine.create_execution_context(self.trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        ready = context is not None and context.set_optimization_profile_async(profile, self.stream.handle)
        if not ready or not context.set_input_shape(self.pixels, shape):
            raise EngineError(f"TensorRT cannot run pictures of {shape}: {self.log.last_error}")
        context.set_device_memory(self.scratch.pointer, self.scratch.nbytes)
        return context

    def execute(self, context: Any) -> None:
        """Queue a run.

        Raises:
            EngineError: TensorRT refused.
        """
        if not context.execute_async_v3(self.stream.handle):
            raise EngineError(f"TensorRT failed to run: {self.log.last_error}")

    def close(self) -> None:
        """Give stream and memory back; the engine goes with the last that holds it."""
        self.stream.close()
        self.scratch.close()


class ExecutionSlot:
    """One shape of an engine. Each has a context of its own, for a graph replays only what its context was at capture.

    Args:
        loaded: the engine.
        profile: the optimisation profile that holds the shape.
        shape: (N, H, W, 3) uint8 BGR.

    Raises:
        EngineError: TensorRT refused, or the GPU has not enough memory.
    """

    def __init__(self, loaded: LoadedEngine, profile: int, shape: tuple[int, ...]) -> None:
        self.count, self.profile = shape[0], profile
        self.eager = "" if loaded.gpu.graphs else f"{loaded.gpu.runtime} captures none"
        """Why there is no graph; "" where there is one or will be."""
        self._loaded = loaded
        self._graph: CudaGraph | None = None
        gpu, engine, result = loaded.gpu, loaded.engine, loaded.result
        self._context = loaded.context(profile, shape)
        out = tuple(self._context.get_tensor_shape(result))
        dtype = np.dtype(loaded.trt.nptype(engine.get_tensor_dtype(result)))
        self.input, self.host_in = gpu.empty(shape, np.uint8), gpu.pinned(shape, np.uint8)
        self.output, self.host_out = gpu.empty(out, dtype), gpu.pinned(out, dtype)
        self.bind(self._context)

    def bind(self, context: Any) -> None:
        """Let a context of this shape read and write the buffers.

        Raises:
            EngineError: TensorRT refused.
        """
        for name, array in ((self._loaded.pixels, self.input), (self._loaded.result, self.output)):
            if not context.set_tensor_address(name, array.pointer):
                raise EngineError(f"TensorRT refused the memory of '{name}': {self._loaded.log.last_error}")

    def enqueue(self) -> None:
        """Queue a run from `input` to `output`: the first time as it is, from then on as a graph.

        Raises:
            EngineError: TensorRT or the driver failed.
        """
        loaded = self._loaded
        if self._graph:
            self._graph.launch(loaded.stream)
        else:
            loaded.execute(self._context)
            if not self.eager:
                self._graph = self._captured()
        self.output.stream = loaded.stream

    def _captured(self) -> CudaGraph | None:
        """The run as a graph; captured after a real one, which did whatever TensorRT puts off until a shape's first."""
        loaded = self._loaded
        loaded.stream.synchronize()
        try:
            with loaded.gpu.capture(loaded.stream) as graph:
                loaded.execute(self._context)
        except EngineError as error:
            self.eager = str(error)
            return None
        return graph

    def close(self) -> None:
        """Give graph, context and memory back."""
        if self._graph:
            self._graph.close()
        self._graph = self._context = None
        self.input.close()
        self.output.close()
