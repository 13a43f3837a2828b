"""OpenVINO on the CPU. Only this file imports it."""

from __future__ import annotations

import hashlib
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..batching import Call, check_threads, plan_calls, run_calls, warm_up_batches
from ..bundle.bundle import Bundle
from ..cpu import usable_cores
from ..errors import EngineError, MissingDependencyError
from ..files import cache_dir, prune
from ..inputs import NO_INPUTS, Inputs, InputSpec, complete
from ..session import CLOSED, RESIDUAL, LayerTime, Output, concatenated
from ..workers import Workers

SETTINGS = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
"""Compilation properties. No pinning: the detector, the network and other processes share the cores (one face in 151 ms
instead of 180 ms on two busy cores)."""
CACHE = "openvino"
"""Folder of compiled graphs in the user's cache, with a subfolder for each graph, named by its SHA-256. OpenVINO names
a file by a hash of the input shape, the settings and its own version, so a changed graph is compiled again. A graph of
one crop size takes 0.2 s to compile and 0.06 s to read (``edge-tiny-x4-camera``, INT8)."""
MAX_CACHE_BYTES = 512 << 20
RECURRING_CALLS, MAX_GRAPHS = 3, 5
"""An input shape of a detector that occurs so often in twice as many calls, as in a video, gets a graph of its own; the
least recently used graph is dropped. The result is the same to the bit, in 0.79 of the time: 36 instead of 45 ms for
1920x1080 in BF16."""
TELEMETRY = "openvino_telemetry"
"""With this package, importing OpenVINO creates an identifier of the user and sends an event over the network. OpenVINO
runs without it."""
_compiling = Lock()
"""OpenVINO changes the locale of the process while it compiles: at once in two threads, it would stay changed."""


def installed() -> bool:
    """Whether OpenVINO is installed, without importing it, which takes 0.3 s."""
    return find_spec("openvino") is not None


def supports_bf16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this processor (AMX or AVX-512 BF16)."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def version() -> str:
    """Version of OpenVINO without its build number, e.g. "2026.1.0"."""
    return str(_openvino().__version__).partition("-")[0]


def _openvino() -> Any:
    try:
        with _without(TELEMETRY):
            import openvino
    except ImportError:
        raise MissingDependencyError("OpenVINO", "openvino", "the engine openvino") from None
    return openvino


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Make the import of a module fail, unless it is imported already."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


@cache
def _core() -> Any:
    return _openvino().Core()


@cache
def _cache_settings(digest: str) -> dict[str, str]:
    """Properties that enable the cache of compiled graphs; empty if its folder cannot be written.

    Args:
        digest: SHA-256 of the graph.
    """
    folder = cache_dir(CACHE) / digest[:32]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        prune(folder.parent, MAX_CACHE_BYTES)
        with TemporaryFile(dir=folder):
            pass
    except OSError:
        return {}
    return {"CACHE_DIR": str(folder), "CACHE_MODE": "OPTIMIZE_SPEED"}


class _Model(NamedTuple):
    """A graph as read by OpenVINO, its inputs besides the pixels, and the SHA-256 of its file."""

    graph: Any
    others: tuple[InputSpec, ...]
    digest: str


Shapes = tuple[tuple[int, ...], ...]
"""Shapes of all inputs of a graph, that of the pixels (N, H, W, 3) first."""


class CompiledGraph:
    """A graph compiled for the shapes of its inputs, or for dynamic ones; each worker may make one call at a time.

    Args:
        model: to compile.
        shapes: of its inputs; -1 for dynamic dimensions.
        threads: CPU threads; 0 for one per core.
        hint: type of the arithmetic of FP32 layers, "f32" or "bf16". Without it OpenVINO computes in bfloat16 on
            processors that have it.
        workers: calls that may run at once, from different threads; they share the threads.
        profiling: measure the time of every node.

    Raises:
        EngineError: OpenVINO cannot compile it.
    """

    def __init__(
        self,
        model: _Model,
        shapes: Shapes,
        threads: int,
        hint: str = "f32",
        workers: int = 1,
        profiling: bool = False,
    ) -> None:
        settings = {**SETTINGS, "INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": workers, "PERF_COUNT": profiling}
        settings |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
        settings |= _cache_settings(model.digest)
        self._ov = _openvino()
        try:
            with _compiling:
                model.graph.reshape({index: list(shape) for index, shape in enumerate(shapes)})
                self.compiled = _core().compile_model(model.graph, "CPU", settings)
            self._requests = [self.compiled.create_infer_request() for _ in range(workers)]
        except Exception as error:  # the runtime's exceptions have no narrower common base
            raise EngineError(f"OpenVINO cannot compile the graph for {shapes[0]}: {_last_line(error)}") from None

    def run(self, tensors: Sequence[NDArray[Any]], out: Output | None = None, worker: int = 0) -> Output:
        """Run one call; the runtime reads the inputs and writes the result without copying them.

        Args:
            tensors: every input in the order of the graph, the pixels (N, H, W, 3) uint8 first.
            out: arrays to write the result to; None for a new one, without the residual.
            worker: index of the worker; each makes one call at a time.
        """
        request, tensor = self._requests[worker], self._ov.Tensor
        try:
            # The runtime accepts no other arrays; it does not keep copies alive, which `arrays` does until the result.
            arrays = [np.require(array, requirements=["C", "W"]) for array in tensors]
            for index, array in enumerate(arrays):
                request.set_input_tensor(index, tensor(array, shared_memory=True))
            if out is not None:
                request.set_output_tensor(0, tensor(out.tensor, shared_memory=True))
                if out.residual is not None:
                    request.set_tensor(RESIDUAL, tensor(out.residual, shared_memory=True))
            request.infer()
        except Exception as error:
            raise EngineError(f"OpenVINO failed on an input of {tensors[0].shape}: {_last_line(error)}") from None
        return out or Output(np.array(request.get_output_tensor(0).data))  # the next call reuses its memory

    def layer_times(self) -> list[LayerTime]:
        """Time of every node in the last call, in execution order."""
        return [
            LayerTime(node.node_name, node.node_type, node.real_time.total_seconds() * 1e3)
            for node in self._requests[0].get_profiling_info()
            if node.status == node.Status.EXECUTED
        ]


class OvSession:
    """A bundle in OpenVINO; implements `MultiInputSession`.

    A super-resolution network is compiled for each input shape on first use; with one worker there are as many shapes
    as crop sizes and batch sizes, with several two for each crop size, and as many again for each number of references.
    A dynamic batch size is 1.3 to 2.2 times slower.
    A detector that accepts any size is compiled with a dynamic shape first, so a frame of a new size takes tenths of a
    second instead of seconds, and for shapes that recur, see `RECURRING_CALLS`.

    Compiled graphs are cached on disk, see `CACHE`. All are made of the bytes that were verified when the session was
    created, whatever happens to the file afterwards.

    Args:
        bundle: to run.
        threads: CPU threads; 0 for one per core.
        precision: of the graph; None for the card's, "bf16" for the FP32 graph with arithmetic in bfloat16.
        workers: calls that run at once, which share the threads. With one, batches run in the fewest calls, each on all
            threads; with more, in calls of one face, see `plan_calls`.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
        EngineError: the bundle has no graph in this precision, it cannot be read, or has more inputs than the I/O spec
            says; or the processor has no bfloat16, or the network takes references, whose matching needs FP32.
        BundleError: the file of the graph was altered.
    """

    def __init__(self, bundle: Bundle, threads: int = 0, precision: str | None = None, workers: int = 1) -> None:
        check_threads(threads)
        self.io_spec = bundle.card.io_spec
        self.precision: str = precision or bundle.card.precision
        if self.precision == "bf16" and not supports_bf16():
            raise EngineError("this processor has no bfloat16 instructions; use --precision auto, or fp32")
        if self.precision == "bf16" and self.io_spec.references:
            raise EngineError(f"{bundle.card.name} matches references, which needs FP32; use --precision auto, or fp32")
        self._hint = "bf16" if self.precision == "bf16" else "f32"
        self._path = bundle.graph("fp32" if self.precision == "bf16" else self.precision)
        self._threads, self._workers = threads, Workers(workers)
        at_once = f", {workers} calls at once" if workers > 1 else ""
        self.runtime = f"OpenVINO {version()} (CPU, {threads or usable_cores()} threads{at_once})"
        content, several = bundle.read_graph(self._path.name), bool(self.io_spec.other_inputs)
        self._model: _Model | None = _read(self._path, content, several)
        self._lock = Lock()
        # In bfloat16 the residual of the graph is wrong by up to 3.5 dB: the host computes it from the pixels.
        self._has_residual = self._hint == "f32" and any(
            RESIDUAL in output.names for output in self._model.graph.outputs
        )
        self._graphs: dict[tuple[Shapes, bool], CompiledGraph] = {}
        self._latest: deque[tuple[int, ...]] = deque(maxlen=2 * RECURRING_CALLS)  # shapes of a detector

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        return self.infer_batches([batch])[0].tensor

    def infer_batches(self, batches: Sequence[NDArray[np.uint8]], inputs: Sequence[Inputs] = ()) -> list[Output]:
        with self._lock:
            self._open_model()  # also without a batch
            return self._infer_batches(batches, inputs)

    def _infer_batches(self, batches: Sequence[NDArray[np.uint8]], inputs: Sequence[Inputs]) -> list[Output]:
        alone, shared = plan_calls(batches, self.io_spec, self._workers.count)
        for call in shared:  # the workers themselves would compile the same graph twice
            self._graph(self._tensors(call.of(batches), call.inputs_of(inputs)), True)
        outputs = [self._empty(batch) for batch in batches]

        def run(call: Call, worker: int | None) -> Output:
            tensors, output = self._tensors(call.of(batches), call.inputs_of(inputs)), outputs[call.batch]
            graph = self._graph(tensors, worker is not None)
            return graph.run(tensors, output and rows(output, call), worker or 0)

        parts = run_calls(batches, (alone, shared), self._workers, run)
        return [output or concatenated(part) for output, part in zip(outputs, parts, strict=True)]

    def _tensors(self, pixels: NDArray[np.uint8], inputs: Inputs) -> list[NDArray[Any]]:
        """Every input of a call."""
        return [pixels, *complete(self._open_model().others, pixels.shape, inputs)]

    def _empty(self, batch: NDArray[np.uint8]) -> Output | None:
        """Arrays for the result of super-resolution, whose shape is known."""
        count, height, width, _ = batch.shape
        if not self.io_spec.crop_sizes:
            return None
        scale, residual = self.io_spec.scale, np.empty(count, np.float32) if self._has_residual else None
        return Output(np.empty((count, scale * height, scale * width, 3), np.uint8), residual)

    def _graph(self, tensors: Sequence[NDArray[Any]], shared: bool) -> CompiledGraph:
        """The graph for the shapes of these inputs, on all threads or shared by the workers."""
        model, key = self._open_model(), (self._compiled_shapes(tensors), shared)
        if key not in self._graphs:
            workers = self._workers.count if shared else 1
            self._graphs[key] = CompiledGraph(model, key[0], self._threads, self._hint, workers)
        graph = self._graphs[key]
        if not self.io_spec.crop_sizes:
            self._graphs[key] = self._graphs.pop(key)  # the latest is last
            for oldest in list(self._graphs)[:-MAX_GRAPHS]:
                del self._graphs[oldest]
        return graph

    def _open_model(self) -> _Model:
        if self._model is None:
            raise EngineError(CLOSED)
        return self._model

    def _compiled_shapes(self, tensors: Sequence[NDArray[Any]]) -> Shapes:
        """The shapes that the graph is compiled for to run these inputs."""
        shapes = tuple(tensor.shape for tensor in tensors)
        if self.io_spec.crop_sizes or self.io_spec.sizes_hw:
            return shapes
        self._latest.append(shapes[0])
        if (shapes, False) not in self._graphs and self._latest.count(shapes[0]) < RECURRING_CALLS:
            return ((-1, -1, -1, 3),)
        return shapes

    def layer_times(
        self, batch: NDArray[np.uint8], runs: int = 10, inputs: Inputs = NO_INPUTS
    ) -> tuple[LayerTime, ...]:
        self.io_spec.check(batch)
        with self._lock:
            tensors = self._tensors(batch, inputs)
            shapes = self._compiled_shapes(tensors)
            graph = CompiledGraph(self._open_model(), shapes, self._threads, self._hint, profiling=True)
        graph.run(tensors)
        calls = []
        for _ in range(runs):
            graph.run(tensors)
            calls.append(graph.layer_times())
        return tuple(
            LayerTime(layer[0].name, layer[0].kind, sum(time.ms for time in layer) / runs)
            for layer in zip(*calls, strict=True)
        )

    def warm_up(self) -> None:
        for batch in warm_up_batches(self.io_spec, self._workers.count):
            self.infer(batch)

    def close(self) -> None:
        with self._lock:
            self._graphs.clear()
            self._workers.close()
            self._model = None


def rows(output: Output, call: Call) -> Output:
    """The rows of a batch's output that a call fills."""
    part = slice(call.start, call.stop)
    return Output(output.tensor[part], None if output.residual is None else output.residual[part])


def _read(path: Path, content: bytes, several: bool = False) -> _Model:
    """Read an ONNX file with OpenVINO's ONNX frontend only: the other frontends print warnings on standard error.

    Args:
        path: for messages.
        content: of the file.
        several: whether it may have inputs besides the pixels.
    """
    _openvino()
    from openvino.frontend import FrontEndManager

    try:
        frontend = FrontEndManager().load_by_framework("onnx")
        model = frontend.convert(frontend.load(BytesIO(content)))
    except Exception as error:
        raise EngineError(f"{path} cannot be loaded by OpenVINO {version()}: {_last_line(error)}") from None
    if len(model.inputs) != 1 and not several:
        raise EngineError(
            f"{path} cannot be loaded by OpenVINO {version()}: expected a graph of one input, got {len(model.inputs)}; "
            "use --engine onnxruntime"
        )
    return _Model(model, tuple(map(_input_spec, model.inputs[1:])), hashlib.sha256(content).hexdigest())


def _input_spec(port: Any) -> InputSpec:
    """Of an input of OpenVINO."""
    shape = tuple(-1 if size.is_dynamic else size.get_length() for size in port.partial_shape)
    return InputSpec(port.any_name, shape, np.dtype(port.element_type.to_dtype()))


def _last_line(error: Exception) -> str:
    """The last line of an OpenVINO exception; the lines before are source locations."""
    return str(error).strip().splitlines()[-1][:200] if str(error).strip() else type(error).__name__


def plain_graph(
    path: Path, shape: tuple[int, ...], threads: int = 0, precision: str = "f32"
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """An ONNX file of one input in OpenVINO with its default options, for comparison with `OvSession`.

    Args:
        path: the file.
        shape: of the input.
        threads: CPU threads; 0 for one per core.
        precision: of the arithmetic of FP32 layers, "f32" or "bf16".

    Returns:
        Function of the input that returns the first output.
    """
    settings = {"INFERENCE_PRECISION_HINT": precision, **({"INFERENCE_NUM_THREADS": threads} if threads else {})}
    model = _read(path, path.read_bytes()).graph
    with _compiling:
        model.reshape(list(shape))
        compiled = _core().compile_model(model, "CPU", settings)
    return lambda tensor: np.asarray(compiled(tensor)[0])
