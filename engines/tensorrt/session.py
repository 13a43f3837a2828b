"""TensorRT session of a compiled bundle; TensorRT for RTX has the same API."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batching import split_batch
from ..bundle.bundle import Bundle, Size
from ..bundle.io_spec import IOSpec
from ..cuda.array import DeviceArray
from ..cuda.device import Gpu
from ..cuda.output import DeviceOutput
from ..cuda.streams import Event
from ..errors import EngineError
from ..inputs import NO_INPUTS, Inputs, rows_of, slot_count
from ..session import CLOSED, LayerTime, Output
from .api import TENSORRT, Product
from .context import EngineHost, ExecutionSlot, LoadedEngine
from .layers import layers_from_inspector
from .loader import Loaded, load

MAX_SOURCES = 8
"""Input arrays that `output_on_device` keeps alive until they are copied; before one more it waits for the oldest."""


class TrtSession:
    """TensorRT `MultiInputSession` of a bundle.

    Contexts and buffers of all shapes are allocated at load time; memory use is constant afterwards, and all shapes
    share the activation memory. Calls from several threads wait for each other. A network that takes references starts
    with one empty slot per face; a call with another number of slots allocates contexts and buffers for that number.

    Attributes:
        lock: held during a call. Hold it from `output_on_device` until its result was read, if other threads use the
            session.

    Args:
        bundle: compiled on this device.
        gpu: where to run it, must outlive the session; None: the first GPU.
        engines: input size -> other engines of the same I/O specification, e.g. just compiled; None: the bundle's own.
        product: that compiled them.

    Raises:
        EngineError: the bundle has no engine, it is for another device, or TensorRT cannot load it.
        MissingDependencyError: TensorRT or the CUDA bindings are not installed.
    """

    def __init__(
        self,
        bundle: Bundle,
        gpu: Gpu | None = None,
        engines: Mapping[Size, bytes] | None = None,
        product: Product = TENSORRT,
    ) -> None:
        io_spec, self.lock = bundle.card.io_spec, RLock()
        with ExitStack() as owned:
            self.gpu = gpu or owned.enter_context(Gpu())
            self._loaded: Loaded | None = load(bundle, self.gpu, engines, product)
            self._slots: dict[Size, dict[int, ExecutionSlot]] = {}
            self._merged: dict[tuple[int, ...], DeviceArray] = {}
            self._sources: deque[tuple[DeviceArray, Event]] = deque()
            owned.callback(self._release)  # before the GPU, also after an error
            with self.gpu.current():
                self._slots, self._references = _create_slots(self._loaded, io_spec), 1
            self._owned = owned.pop_all()
        self.precision: str = bundle.card.precision
        self.io_spec = io_spec if io_spec.crop_sizes else replace(io_spec, sizes_hw=tuple(self._slots))
        self._engine = f"{product.name} {self._loaded.host.trt.__version__} ({self.gpu.name}"
        self.runtime = f"{self._engine}, CUDA graphs)"
        self._update_runtime(slot for slots in self._slots.values() for slot in slots.values())

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        return self._output(batch).tensor

    def infer_batches(self, batches: Sequence[NDArray[np.uint8]], inputs: Sequence[Inputs] = ()) -> list[Output]:
        self._open_host()  # also without a batch
        given = inputs or [NO_INPUTS] * len(batches)
        return [self._output(batch, others) for batch, others in zip(batches, given, strict=True)]

    def _output(self, batch: NDArray[np.uint8], others: Inputs = NO_INPUTS) -> Output:
        with self._running(batch, others) as (host, slots):
            merged = [np.empty((len(batch), *array.shape[1:]), array.dtype) for array in slots[0].outputs]
            for slot, start in _with_offsets(slots):
                rows = slice(start, start + slot.count)
                slot.put(rows_of(others, rows))
                slot.host_in[...] = batch[rows]
                self.gpu.upload(slot.host_in, slot.input, host.stream)
                slot.enqueue()
                for array, pinned in zip(slot.outputs, slot.host_outputs, strict=True):
                    self.gpu.download(array, pinned, host.stream)
                host.stream.synchronize()
                for whole, pinned in zip(merged, slot.host_outputs, strict=True):
                    whole[rows] = pinned
        self._update_runtime(slots)
        return Output(*merged)

    def infer_on_device(self, array: Any) -> DeviceArray:
        """The `tensor` of `output_on_device`."""
        return self.output_on_device(array).tensor

    def output_on_device(self, array: Any) -> DeviceOutput:
        """Queue a batch in GPU memory, without host copies; it waits only to release inputs, see `MAX_SOURCES`.

        Args:
            array: (N, H, W, 3) uint8 BGR of a shape that the I/O specification allows, with ``__dlpack__`` or
                ``__cuda_array_interface__``. The session's stream waits for the stream that writes it. Do not modify
                it before the result is ready. The array of `input_of` is not copied.

        Returns:
            Arrays in memory of the session: the tensor is valid until the next call with images of this size, the
            residual until the next call, which must be queued after readers on other streams. Wait for their `stream`;
            ``from_dlpack`` of PyTorch and CuPy does.

        Raises:
            EngineError: as for `infer`, or not an array on this GPU.
        """
        with self.lock:
            return self._output_on_device(array)

    def input_of(self, shape: tuple[int, ...]) -> DeviceArray | None:
        """The engine's own input, for `output_on_device` without a copy.

        Hold `lock` from here to that call. The stream that writes the array must wait for its `stream` before.

        Args:
            shape: (N, H, W, 3) that the I/O specification allows.

        Returns:
            (N, H, W, 3) uint8 BGR; None if such a batch takes several calls of the engine.

        Raises:
            EngineError: another shape, or the session is closed.
        """
        with self._running(np.broadcast_to(np.zeros((), np.uint8), shape)) as (host, slots):
            if len(slots) > 1:
                return None
            array = slots[0].input.part(shape)
            array.stream = host.stream
            return array

    def _output_on_device(self, array: Any) -> DeviceOutput:
        stream = self._open_host().stream
        source = self.gpu.view(array, stream)
        # Only shape and dtype are checked: a zero-stride host array of the same shape replaces the source.
        with self._running(np.broadcast_to(np.zeros((), source.dtype), source.shape)) as (host, slots):
            if len(slots) == 1 and source.pointer == slots[0].input.pointer:
                slots[0].put()
                slots[0].enqueue()
                results = slots[0].outputs
            else:
                with self._kept(source, host):
                    results = self._run_copied(source, host, slots)
        self._update_runtime(slots)
        return DeviceOutput(*results)

    def _run_copied(self, source: DeviceArray, host: EngineHost, slots: list[ExecutionSlot]) -> tuple[DeviceArray, ...]:
        """Queue the parts of a batch; returns the output arrays."""
        merged: tuple[DeviceArray, ...] = ()
        if len(slots) > 1:
            merged = tuple(self._merged_array(source.shape[0], array) for array in slots[0].outputs)
        for slot, start in _with_offsets(slots):
            slot.put()
            self.gpu.copy(source.narrow(start, slot.count), slot.input, host.stream)
            slot.enqueue()
            for array, whole in zip(slot.outputs, merged, strict=False):
                self.gpu.copy(array, whole.narrow(start, slot.count), host.stream)
        return merged or slots[0].outputs

    @contextmanager
    def _kept(self, source: DeviceArray, host: EngineHost) -> Iterator[None]:
        """Keep the caller's memory, which must not be reused before it is copied; release what has been copied."""
        while self._sources and (len(self._sources) == MAX_SOURCES or self._sources[0][1].reached()):
            _, copied = self._sources.popleft()
            copied.synchronize()
            copied.close()
        copied = self.gpu.event()
        self._sources.append((source, copied))
        try:
            yield
        finally:
            copied.record(host.stream)

    def _merged_array(self, count: int, array: DeviceArray) -> DeviceArray:
        """Buffer for an output of several slots of one size; reallocated for a larger count."""
        rows = array.shape[1:]
        if rows not in self._merged or self._merged[rows].shape[0] < count:
            self._merged[rows] = self.gpu.empty((count, *rows), array.dtype)
            self._merged[rows].stream = self._open_host().stream
        return self._merged[rows].leading(count)

    def layer_times(
        self, batch: NDArray[np.uint8], runs: int = 10, inputs: Inputs = NO_INPUTS
    ) -> tuple[LayerTime, ...]:
        with self._running(batch, inputs) as (host, slots):
            if len(slots) > 1:
                max_batch = max(self._slots[batch.shape[1], batch.shape[2]])
                raise EngineError(f"expected a batch of at most {max_batch}, one call, got {len(batch)}")
            slots[0].put(inputs)
            slots[0].host_in[...] = batch
            self.gpu.upload(slots[0].host_in, slots[0].input, host.stream)
            return _layer_times(slots[0], runs)

    def warm_up(self) -> None:
        for (height, width), slots in self._slots.items():
            for count in slots:
                self.infer(np.zeros((count, height, width, 3), np.uint8))
        with self.lock:
            if kernels := self._open_host().kernels:
                kernels.save()

    def close(self) -> None:
        with self.lock:
            self._owned.close()

    def _release(self) -> None:
        loaded, self._loaded = self._loaded, None
        if loaded is None:
            return
        with self.gpu.current():
            loaded.host.stream.synchronize()
            _close_slots(self._slots)
            for _, copied in self._sources:
                copied.close()
            self._sources.clear()
            self._slots, self._merged = {}, {}
            loaded.host.close()
            del loaded  # destroys the engines while their GPU is current

    def _open_host(self) -> EngineHost:
        if self._loaded is None:
            raise EngineError(CLOSED)
        return self._loaded.host

    @contextmanager
    def _running(
        self, batch: NDArray[Any], others: Inputs = NO_INPUTS
    ) -> Iterator[tuple[EngineHost, list[ExecutionSlot]]]:
        """The engines' host, with its GPU current, and the slots that run the parts of a batch."""
        self.io_spec.check(batch)
        count, height, width, _ = batch.shape
        with self.lock, self.gpu.current():
            host = self._open_host()
            self._use_references(slot_count(others))
            slots = self._slots[height, width]
            yield host, [slots[size] for size in split_batch(count, tuple(slots))]

    def _use_references(self, count: int) -> None:
        """Allocate for another number of slots for references."""
        if count == self._references or not self._loaded:
            return
        slots = _create_slots(self._loaded, self.io_spec, count)
        self._loaded.host.stream.synchronize()
        _close_slots(self._slots)
        self._slots, self._references = slots, count

    def _update_runtime(self, slots: Iterable[ExecutionSlot]) -> None:
        """State in `runtime` if a slot runs without a CUDA graph, which is slower."""
        reason = next((slot.no_graph_reason for slot in slots if slot.no_graph_reason), "")
        if reason:
            self.runtime = f"{self._engine}, no CUDA graphs: {reason})"


def _create_slots(loaded: Loaded, io_spec: IOSpec, references: int = 1) -> dict[Size, dict[int, ExecutionSlot]]:
    """(H, W) -> N -> slot, for every shape that both the I/O specification and the engines allow."""
    missing = [(side, side) for side in io_spec.crop_sizes if (side, side) not in loaded.engines]
    if missing or not loaded.engines:
        sizes = ", ".join(f"{w}x{h}" for h, w in missing) or "any size"
        raise EngineError(f"the bundle has no engine for {sizes}; compile the bundle again")
    slots: dict[Size, dict[int, ExecutionSlot]] = {}
    try:
        for size, engine in loaded.engines.items():
            slots[size] = _slots_of(engine, size, io_spec, references)
    except BaseException:
        _close_slots(slots)
        raise
    return slots


def _slots_of(loaded: LoadedEngine, size: Size, io_spec: IOSpec, references: int) -> dict[int, ExecutionSlot]:
    min_shape, _, max_shape = (tuple(shape) for shape in loaded.engine.get_tensor_profile_shape(loaded.pixels, 0))
    counts = [count for count in io_spec.batches_of(*size) if min_shape[0] <= count <= max_shape[0]]
    if max_shape[1:3] != size or 1 not in counts:
        raise EngineError(
            f"the engine for {size[1]}x{size[0]} px takes {min_shape} to {max_shape}; compile the bundle again"
        )
    return {count: ExecutionSlot(loaded, 0, (count, *size, 3), references) for count in counts}


def _close_slots(slots: dict[Size, dict[int, ExecutionSlot]]) -> None:
    for by_count in slots.values():
        for slot in by_count.values():
            slot.close()


def _with_offsets(slots: list[ExecutionSlot]) -> Iterator[tuple[ExecutionSlot, int]]:
    """Slots, each with the index of its first image in the batch."""
    start = 0
    for slot in slots:
        yield slot, start
        start += slot.count


def _layer_times(slot: ExecutionSlot, runs: int) -> tuple[LayerTime, ...]:
    """Time every layer with TensorRT's profiler, on the current content of the slot's input."""
    # A separate context: the profiler would stay in the slot's, and a CUDA graph cannot contain it.
    loaded = slot.loaded
    context = slot.new_context()
    times: dict[str, list[float]] = defaultdict(list)
    profiler = _profiler(loaded.host.trt, times)
    context.profiler = profiler
    for _ in range(runs + 1):
        loaded.execute(context)  # with a profiler it blocks, and reports every layer
    loaded.host.stream.synchronize()
    if not times:
        raise EngineError("TensorRT reported no layer times; compile the bundle again: facesr-edge build BUNDLE")
    inspector = loaded.engine.create_engine_inspector()
    listed = layers_from_inspector(inspector.get_engine_information(loaded.host.trt.LayerInformationFormat.JSON))
    kinds = {layer.name: layer.kind for layer in listed}
    return tuple(LayerTime(name, kinds.get(name, ""), sum(ms[1:]) / runs) for name, ms in times.items())


def _profiler(trt: Any, times: dict[str, list[float]]) -> Any:
    class Profiler(trt.IProfiler):  # type: ignore[misc]  # the module is untyped
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            times[layer_name].append(ms)

    return Profiler()
