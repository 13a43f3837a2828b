"""A compiled bundle in TensorRT."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.bundle import Bundle
from ..bundle.io_spec import IOSpec, split_batch
from ..cuda.array import DeviceArray
from ..cuda.device import Gpu
from ..cuda.streams import Stream
from ..errors import EngineError
from ..session import LayerTime
from .context import ExecutionSlot, LoadedEngine
from .loader import load

MOST_SOURCES = 8
"""Arrays of callers that are held before the stream is waited for, to let them go."""


class TrtSession:
    """A bundle in TensorRT; a `Session`.

    Every shape that it will run is made ready when it is loaded, so that memory stays as it is from then on; all
    shapes share the memory of the features. Any thread may call, one at a time.

    Args:
        bundle: what to run, compiled on this device.
        gpu: where to run it; none for the first. It has to outlive the session.
        engine: another engine of the same contract, e.g. one that was just compiled; none for the bundle's own.

    Raises:
        EngineError: no engine in the bundle, one of another device, or TensorRT cannot load it.
        MissingDependencyError: TensorRT or the CUDA bindings are not installed.
    """

    def __init__(self, bundle: Bundle, gpu: Gpu | None = None, engine: bytes | None = None) -> None:
        io_spec = bundle.card.io_spec
        with ExitStack() as owned:
            self.gpu = gpu or owned.enter_context(Gpu())
            self._loaded: LoadedEngine | None = load(bundle, self.gpu, engine)
            with self.gpu.current():
                self._calls = _calls(self._loaded, io_spec)
            self._owned = owned.pop_all()
        self.io_spec = io_spec if io_spec.windows else replace(io_spec, sizes_hw=tuple(self._calls))
        self._joined: dict[tuple[int, ...], DeviceArray] = {}
        self._sources: list[DeviceArray] = []
        self._engine = f"TensorRT {self._loaded.trt.__version__} ({self.gpu.name}"
        self.runtime = f"{self._engine}, CUDA graphs)"
        self._tell(call for ready in self._calls.values() for call in ready.values())

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        """See `Session.infer`."""
        with self._running(batch) as (loaded, calls):
            out = np.empty((len(batch), *calls[0].output.shape[1:]), calls[0].output.dtype)
            for call, start in _placed(calls):
                part = slice(start, start + call.count)
                call.host_in[...] = batch[part]
                self.gpu.upload(call.host_in, call.input, loaded.stream)
                call.enqueue()
                self.gpu.download(call.output, call.host_out, loaded.stream)
                loaded.stream.synchronize()
                out[part] = call.host_out
        self._tell(calls)
        return out

    def infer_on_device(self, array: Any) -> DeviceArray:
        """Run a batch that lies in the GPU's memory; nothing visits the host, and nothing waits.

        Args:
            array: (N, H, W, 3) uint8 BGR, of a shape that the contract allows, with ``__dlpack__`` or
                ``__cuda_array_interface__``. The session's stream is made to wait for the one that fills it.

                It must stay as it is until the result is there.

        Returns:
            What the contract says, in memory of the session's own: valid until the next call, whose work has to wait
            for whoever reads it on another stream. Its `stream` is the one to wait for; ``from_dlpack`` of PyTorch
            and CuPy does so unasked.

        Raises:
            EngineError: as for `infer`, or not an array of this GPU.
        """
        source = self.gpu.view(array, self._stream)
        if len(self._sources) == MOST_SOURCES:
            self._stream.synchronize()
            self._sources.clear()
        self._sources.append(source)  # else its memory might be used anew before it was copied
        # The contract checks shape and type alone, so it is shown an array of those that takes no memory.
        with self._running(np.broadcast_to(np.zeros((), source.dtype), source.shape)) as (loaded, calls):
            if len(calls) == 1:
                self.gpu.copy(source, calls[0].input, loaded.stream)
                calls[0].enqueue()
                result = calls[0].output
            else:
                result = self._joined_for(source.shape[0], calls[0])
                for call, start in _placed(calls):
                    self.gpu.copy(source.entries(start, call.count), call.input, loaded.stream)
                    call.enqueue()
                    self.gpu.copy(call.output, result.entries(start, call.count), loaded.stream)
                result.stream = loaded.stream
        self._tell(calls)
        return result

    def _joined_for(self, count: int, call: ExecutionSlot) -> DeviceArray:
        """Memory for the results of several calls of a shape; made anew for more of them."""
        rows, dtype = call.output.shape[1:], call.output.dtype
        if rows not in self._joined or self._joined[rows].shape[0] < count:
            self._joined[rows] = self.gpu.empty((count, *rows), dtype)
        return self._joined[rows].leading(count)

    def layer_times(self, batch: NDArray[np.uint8], runs: int = 10) -> tuple[LayerTime, ...]:
        """See `Session.layer_times`."""
        with self._running(batch) as (loaded, calls):
            if len(calls) > 1:
                most = max(self._calls[batch.shape[1], batch.shape[2]])
                raise EngineError(f"expected a batch that runs in one call, at most {most}, got {len(batch)}")
            calls[0].host_in[...] = batch
            self.gpu.upload(calls[0].host_in, calls[0].input, loaded.stream)
            return layer_times(loaded, calls[0], runs)

    def warm_up(self) -> None:
        """See `Session.warm_up`."""
        for (height, width), calls in self._calls.items():
            for count in calls:
                self.infer(np.zeros((count, height, width, 3), np.uint8))

    def close(self) -> None:
        """See `Session.close`."""
        loaded, self._loaded = self._loaded, None
        if loaded is None:
            return
        with self.gpu.current():
            loaded.stream.synchronize()
            for calls in self._calls.values():
                for call in calls.values():
                    call.close()
            self._calls, self._joined, self._sources = {}, {}, []
            loaded.close()
            del loaded  # the engine itself, while its GPU is current
        self._owned.close()

    @property
    def _stream(self) -> Stream:
        return self._opened().stream

    def _opened(self) -> LoadedEngine:
        if self._loaded is None:
            raise EngineError("the engine is closed; load it again")
        return self._loaded

    @contextmanager
    def _running(self, batch: NDArray[Any]) -> Iterator[tuple[LoadedEngine, list[ExecutionSlot]]]:
        """The engine with its GPU current, and the calls that a batch is split into."""
        loaded = self._opened()
        self.io_spec.check(batch)
        count, height, width, _ = batch.shape
        ready = self._calls[height, width]
        with self.gpu.current():
            yield loaded, [ready[size] for size in split_batch(count, tuple(ready))]

    def _tell(self, calls: Iterable[ExecutionSlot]) -> None:
        """Say in `runtime` that some calls run without a graph, for that is slower."""
        eager = next((call.eager for call in calls if call.eager), "")
        if eager:
            self.runtime = f"{self._engine}, no CUDA graphs: {eager})"


def _calls(loaded: LoadedEngine, io_spec: IOSpec) -> dict[tuple[int, int], dict[int, ExecutionSlot]]:
    """(H, W) -> N -> what runs it, for every shape that both contract and engine know."""
    found: dict[tuple[int, int], dict[int, ExecutionSlot]] = defaultdict(dict)
    for profile in range(loaded.engine.num_optimization_profiles):
        least, _, most = (tuple(shape) for shape in loaded.engine.get_tensor_profile_shape(loaded.pixels, profile))
        height, width = most[1:3]
        for count in io_spec.batches_of(height, width):
            if least[0] <= count <= most[0] and count not in found[height, width]:
                found[height, width][count] = ExecutionSlot(loaded, profile, (count, height, width, 3))
    lacking = [(side, side) for side in io_spec.windows if 1 not in found.get((side, side), {})]
    lacking += [size for size, calls in found.items() if 1 not in calls]
    if lacking or not found:
        sizes = ", ".join(f"{w}x{h}" for h, w in lacking) or "any size"
        raise EngineError(f"the engine was not compiled for single pictures of {sizes}; compile the bundle again")
    return dict(found)


def _placed(calls: list[ExecutionSlot]) -> Iterator[tuple[ExecutionSlot, int]]:
    """Calls, each with the number of the picture that it begins at."""
    start = 0
    for call in calls:
        yield call, start
        start += call.count


def layer_times(loaded: LoadedEngine, call: ExecutionSlot, runs: int) -> tuple[LayerTime, ...]:
    """Run a call, on what its input holds, with a clock round every layer.

    In a context of its own: the clocks would stay in the call's, and a graph cannot hold them.

    Args:
        loaded: the engine.
        call: the shape to run.
        runs: that are averaged, after one that does not count.

    Raises:
        EngineError: TensorRT refused.
    """
    context = loaded.context(call.profile, call.input.shape)
    call.bind(context)
    taken: dict[str, list[float]] = defaultdict(list)
    clocks = _profiler(loaded.trt, taken)
    context.profiler = clocks
    for _ in range(runs + 1):
        loaded.execute(context)  # with a profiler it waits for the run, and reports every layer
    loaded.stream.synchronize()
    if not taken:
        raise EngineError("TensorRT timed no layer; compile the bundle again: facesr-edge build BUNDLE")
    kinds = _kinds(loaded)
    return tuple(LayerTime(name, kinds.get(name, ""), sum(ms[1:]) / runs) for name, ms in taken.items())


def _profiler(trt: Any, taken: dict[str, list[float]]) -> Any:
    class Profiler(trt.IProfiler):  # type: ignore[misc]  # the module is untyped
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            taken[layer_name].append(ms)

    return Profiler()


def _kinds(loaded: LoadedEngine) -> dict[str, str]:
    """Name -> kind of every layer that the engine's inspector tells of."""
    inspector = loaded.engine.create_engine_inspector()
    text = inspector.get_engine_information(loaded.trt.LayerInformationFormat.JSON)
    try:
        layers = json.loads(text).get("Layers", [])
    except ValueError:  # names alone do without
        return {}
    return {layer["Name"]: str(layer.get("LayerType", "")) for layer in layers if isinstance(layer, dict)}
