"""Loaded TensorRT engines, and their execution slots: execution context, buffers and CUDA graph of one input shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..cuda.array import DeviceArray
from ..cuda.device import Gpu
from ..cuda.streams import CudaGraph, Stream
from ..errors import EngineError
from ..inputs import NO_INPUTS, Inputs, InputSpec, complete
from .api import Log
from .kernel_cache import KernelCache


@dataclass(frozen=True)
class EngineHost:
    """What the engines of a bundle share.

    Args:
        trt: the TensorRT module.
        runtime: the `Runtime` of the engines, which must outlive them.
        gpu: GPU of the engines.
        stream: where all work is queued.
        scratch: activation memory of the running slot.
        kernels: kernels that TensorRT for RTX finished at load time; None for TensorRT.
        log: messages of TensorRT.
    """

    trt: Any
    runtime: Any
    gpu: Gpu
    stream: Stream
    scratch: DeviceArray
    kernels: KernelCache | None
    log: Log

    def close(self) -> None:
        """Release stream and activation memory."""
        if self.kernels:
            self.kernels.save()
        self.stream.close()
        self.scratch.close()


@dataclass(frozen=True)
class LoadedEngine:
    """A deserialized engine of one input size, released with its last reference.

    Args:
        host: what it shares with the other sizes.
        engine: an `ICudaEngine`.
        pixels: name of the input of the pixels.
        others: its other inputs, for references.
        results: names of the outputs, in the order of `Output`: one, or with the residual two.
    """

    host: EngineHost
    engine: Any
    pixels: str
    others: tuple[InputSpec, ...]
    results: tuple[str, ...]

    def context(self, profile: int, shapes: Mapping[str, tuple[int, ...]]) -> Any:
        """Create an execution context for the shape of each input, of a profile, in the shared activation memory.

        Raises:
            EngineError: TensorRT rejects the shape.
        """
        host = self.host
        strategy = host.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        how = host.kernels.config(self.engine, strategy) if host.kernels else strategy
        context = self.engine.create_execution_context(how)
        ready = context is not None and context.set_optimization_profile_async(profile, host.stream.handle)
        for name, shape in shapes.items():
            if not ready or not context.set_input_shape(name, shape):
                raise EngineError(f"TensorRT cannot run {name} of {shape}: {host.log.last_error}")
        context.set_device_memory(host.scratch.pointer, host.scratch.nbytes)
        return context

    def execute(self, context: Any) -> None:
        """Queue an inference; raises an EngineError if TensorRT fails."""
        if not context.execute_async_v3(self.host.stream.handle):
            raise EngineError(f"TensorRT inference failed: {self.host.log.last_error}")


class ExecutionSlot:
    """Context, buffers and CUDA graph of one shape. The context is not shared: a graph replays its captured state.

    Args:
        loaded: the engine.
        profile: optimization profile of the shape.
        shape: (N, H, W, 3) uint8 BGR.
        references: slots for references of each face, if the engine takes them.

    Raises:
        EngineError: TensorRT rejects the shape, or out of GPU memory.
    """

    def __init__(self, loaded: LoadedEngine, profile: int, shape: tuple[int, ...], references: int = 1) -> None:
        self.count, self.profile = shape[0], profile
        gpu = loaded.host.gpu
        self.no_graph_reason = "" if gpu.graphs else f"not supported by {gpu.runtime}"
        """Why no CUDA graph is used; "" if one is or will be captured."""
        self.loaded = loaded
        self._graph: CudaGraph | None = None
        self._shapes = {loaded.pixels: shape} | {spec.name: spec.sized(shape, references) for spec in loaded.others}
        self._context = loaded.context(profile, self._shapes)
        layouts = [self._layout(name) for name in loaded.results]
        self.input, self.host_in = gpu.empty(shape, np.uint8), gpu.pinned(shape, np.uint8)
        others = [(self._shapes[spec.name], spec.dtype) for spec in loaded.others]
        self._others = tuple(gpu.empty(*layout) for layout in others)
        self._host_others = tuple(gpu.pinned(*layout) for layout in others)
        self._zero = False  # whether the other inputs hold zeros
        self.outputs = tuple(gpu.empty(*layout) for layout in layouts)
        self.host_outputs = tuple(gpu.pinned(*layout) for layout in layouts)
        self._bind(self._context)

    def _layout(self, result: str) -> tuple[tuple[int, ...], DTypeLike]:
        """Shape and dtype of an output."""
        dtype = np.dtype(self.loaded.host.trt.nptype(self.loaded.engine.get_tensor_dtype(result)))
        return tuple(self._context.get_tensor_shape(result)), dtype

    def new_context(self) -> Any:
        """Another context of this shape with the same buffers; raises an EngineError if TensorRT rejects it."""
        context = self.loaded.context(self.profile, self._shapes)
        self._bind(context)
        return context

    def _bind(self, context: Any) -> None:
        loaded = self.loaded
        names, arrays = (*self._shapes, *loaded.results), (self.input, *self._others, *self.outputs)
        for name, array in zip(names, arrays, strict=True):
            if not context.set_tensor_address(name, array.pointer):
                raise EngineError(f"TensorRT rejects the address of '{name}': {loaded.host.log.last_error}")

    def put(self, given: Inputs = NO_INPUTS) -> None:
        """Copy the inputs besides the pixels to the GPU; those that are not given are zero.

        Raises:
            EngineError: an input that the engine does not have, or one of another shape or dtype.
        """
        arrays = complete(self.loaded.others, self.input.shape, given)
        if self._zero and not given:
            return
        host = self.loaded.host
        for pinned, array, buffer in zip(self._host_others, arrays, self._others, strict=True):
            pinned[...] = array
            host.gpu.upload(pinned, buffer, host.stream)
        host.stream.synchronize()  # the host arrays may then be filled anew
        self._zero = not given

    def enqueue(self) -> None:
        """Queue an inference from `input` to `outputs`: the first directly, later ones as a CUDA graph.

        Raises:
            EngineError: TensorRT or the driver failed.
        """
        loaded = self.loaded
        if self._graph:
            self._graph.launch(loaded.host.stream)
        else:
            loaded.execute(self._context)
            if not self.no_graph_reason:
                self._graph = self._capture()
        for array in self.outputs:
            array.stream = loaded.host.stream

    def _capture(self) -> CudaGraph | None:
        """Capture an inference, after a direct one, in which TensorRT does the deferred work of a new shape."""
        loaded = self.loaded
        loaded.host.stream.synchronize()
        try:
            with loaded.host.gpu.capture(loaded.host.stream) as graph:
                loaded.execute(self._context)
        except EngineError as error:
            self.no_graph_reason = str(error)
            return None
        return graph

    def close(self) -> None:
        """Release graph, context and buffers."""
        if self._graph:
            self._graph.close()
        self._graph = self._context = None
        for array in (self.input, *self._others, *self.outputs):
            array.close()
