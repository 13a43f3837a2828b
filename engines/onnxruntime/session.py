"""ONNX Runtime on the CPU. Only this file imports it for inference."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batching import Call, check_threads, plan_calls, run_calls, warm_up_batches
from ..bundle.bundle import Bundle
from ..cpu import usable_cores
from ..errors import EngineError, MissingDependencyError, first_line
from ..inputs import NO_INPUTS, Inputs, InputSpec, complete
from ..session import CLOSED, RESIDUAL, LayerTime, Output, concatenated
from ..tensor_spec import GraphTensors, TensorSpec
from ..workers import Workers

NO_SPINNING = ("session.intra_op.allow_spinning", "0")
"""Disables thread spinning. By default the threads of each graph spin while they wait for the next call, although the
graphs of other crop sizes and the detector need the cores: on two cores a frame with one face took 2.6 times as long,
one with faces of four sizes twice as long. A single graph that is called without pauses is slower without spinning:
1.04 to 1.25 times on two threads, 1.0 on one."""


def version() -> str:
    """Version of ONNX Runtime; raises a MissingDependencyError if it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingDependencyError("onnxruntime", "", "running a bundle on the CPU") from None
    return str(onnxruntime.__version__)


class OrtGraph:
    """An ONNX file loaded on the CPU; thread-safe, calls run at once.

    Args:
        path: the file.
        threads: intra-op threads; 0 for one per core.
        fixed: symbolic dimension -> size, so that the runtime can fold everything that depends on it into constants.
        profile: prefix of the file that the runtime writes its profile to; None to disable profiling.
        content: of the file, if it was read before: `path` is then for messages only.

    Raises:
        UsageError: an invalid number of threads.
        EngineError: the file cannot be loaded.
    """

    def __init__(
        self,
        path: Path,
        threads: int = 0,
        fixed: dict[str, int] | None = None,
        profile: Path | None = None,
        content: bytes | None = None,
    ) -> None:
        self.version = version()
        check_threads(threads)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # fatal only: errors are raised, logging them would repeat them
        options.intra_op_num_threads = threads
        options.add_session_config_entry(*NO_SPINNING)
        options.enable_mem_pattern = bool(fixed)  # one pattern is kept per shape: memory would grow with open shapes
        if profile:
            options.enable_profiling, options.profile_file_prefix = True, str(profile)
        for name, size in (fixed or {}).items():
            options.add_free_dimension_override_by_name(name, size)
        try:
            source = str(path) if content is None else content
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's exceptions have no narrower common base
            raise EngineError(f"{path} cannot be loaded by ONNX Runtime {self.version}: {first_line(error)}") from None
        self.inputs = {node.name: node for node in self._session.get_inputs()}
        self.outputs = [node.name for node in self._session.get_outputs()]
        self.others = tuple(map(_input_spec, list(self.inputs.values())[1:]))

    def run(self, *tensors: NDArray[Any]) -> list[NDArray[Any]]:
        """Run the graph on inputs in their order; those that are not given are zero. Returns every output."""
        session = self._session
        if session is None:
            raise EngineError(CLOSED)
        if len(tensors) <= len(self.others):
            tensors = *tensors, *complete(self.others[len(tensors) - 1 :], tensors[0].shape)
        try:
            return list(session.run(None, dict(zip(self.inputs, tensors, strict=True))))
        except Exception as error:
            shape = tensors[0].shape
            raise EngineError(f"ONNX Runtime failed on an input of {shape}: {first_line(error)}") from None

    def infer(self, pixels: NDArray[Any], inputs: Inputs = NO_INPUTS) -> Output:
        """Run the graph on pixels and other inputs; returns its first output, and the residual if it has one."""
        outputs = self.run(pixels, *complete(self.others, pixels.shape, inputs))
        residual = outputs[self.outputs.index(RESIDUAL)] if RESIDUAL in self.outputs else None
        return Output(outputs[0], residual)

    def end_profiling(self) -> list[dict[str, Any]]:
        """Stop profiling and return the events, in Chrome's trace format."""
        return list(json.loads(Path(self._session.end_profiling()).read_text("utf-8")))

    @property
    def closed(self) -> bool:
        """Whether the graph was closed."""
        return self._session is None

    def close(self) -> None:
        """Release the memory; `run` then raises an EngineError."""
        self._session = None


def _input_spec(node: Any) -> InputSpec:
    if node.type not in _DTYPES:
        raise EngineError(f"expected inputs of float, float16 or uint8 besides the pixels, {node.name} is {node.type}")
    return InputSpec(node.name, _shape(node), np.dtype(_DTYPES[node.type]))


def _tensor_spec(node: Any) -> TensorSpec:
    if node.type not in _DTYPES:
        raise EngineError(f"expected tensors of uint8, float or float16, {node.name} is {node.type}; export it again")
    return TensorSpec(node.name, _shape(node), np.dtype(_DTYPES[node.type]))


def _shape(node: Any) -> tuple[int, ...]:
    """Of a tensor of ONNX Runtime, whose dynamic dimensions have names instead of sizes."""
    return tuple(size if isinstance(size, int) else -1 for size in node.shape)


_DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}


def layer_times(
    path: Path,
    pixels: NDArray[Any],
    runs: int,
    threads: int = 0,
    fixed: dict[str, int] | None = None,
    inputs: Inputs = NO_INPUTS,
    content: bytes | None = None,
) -> tuple[LayerTime, ...]:
    """Measure the time of every node of a graph, after the runtime's graph optimization.

    Args:
        path, threads, fixed, content: see `OrtGraph`.
        pixels: first input.
        runs: number of calls to average, after one warm-up call.
        inputs: the others, if any.
    """
    with TemporaryDirectory() as folder:
        graph = OrtGraph(path, threads, fixed, Path(folder) / "layers", content)
        for _ in range(runs + 1):
            graph.infer(pixels, inputs)
        events = graph.end_profiling()
        graph.close()
    times_ms: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL_SUFFIX):
            node = event["name"].removesuffix(_KERNEL_SUFFIX), event["args"]["op_name"]
            times_ms[node].append(event["dur"] / 1e3)
    return tuple(LayerTime(name, kind, sum(ms[1:]) / runs) for (name, kind), ms in times_ms.items())


_KERNEL_SUFFIX = "_kernel_time"
"""Suffix of the profiling events of a node's computation."""


class OrtSession:
    """A bundle in ONNX Runtime; implements `MultiInputSession`.

    Each crop size has its own graph, created on first use, with height and width fixed: constants that depend on them
    (the matrices of the consistency projection) are folded, and memory is planned once. All graphs are made of the
    bytes that were verified when the session was created, whatever happens to the file afterwards.

    Args:
        bundle: to run.
        threads: CPU threads; 0 for one per core.
        precision: of the graph; None for the card's.
        workers: calls that run at once, which share the threads. With one, batches run in the fewest calls, each on all
            threads; with more, in calls of one face, see `plan_calls`.

    Raises:
        EngineError: the bundle has no graph in this precision.
        BundleError: its file was altered.
    """

    def __init__(self, bundle: Bundle, threads: int = 0, precision: str | None = None, workers: int = 1) -> None:
        check_threads(threads)
        if precision == "bf16":
            raise EngineError("ONNX Runtime runs no network in bf16; use --engine openvino, or another --precision")
        self.io_spec = bundle.card.io_spec
        self.precision: str = precision or bundle.card.precision
        self._path, self._threads = bundle.graph(self.precision), threads
        self._content = bundle.read_graph(self._path.name)
        self._lock, self._closed = Lock(), False
        self._workers, self._worker_threads = Workers(workers), max(1, (threads or usable_cores()) // workers)
        self._graphs: dict[tuple[int, int | None], OrtGraph] = {}
        at_once = f", {workers} calls at once" if workers > 1 else ""
        self.runtime = f"ONNX Runtime {version()} (CPU, {threads or usable_cores()} threads{at_once})"

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        return self.infer_batches([batch])[0].tensor

    def infer_batches(self, batches: Sequence[NDArray[np.uint8]], inputs: Sequence[Inputs] = ()) -> list[Output]:
        with self._lock:
            return self._infer_batches(batches, inputs)

    def _infer_batches(self, batches: Sequence[NDArray[np.uint8]], inputs: Sequence[Inputs]) -> list[Output]:
        if self._closed:
            raise EngineError(CLOSED)
        alone, shared = plan_calls(batches, self.io_spec, self._workers.count)
        for index in {call.batch for call in shared}:  # the workers themselves would create the same graph twice
            for worker in range(self._workers.count):
                self._graph(batches[index], worker)

        def run(call: Call, worker: int | None) -> Output:
            return self._graph(batches[call.batch], worker).infer(call.of(batches), call.inputs_of(inputs))

        return [concatenated(parts) for parts in run_calls(batches, (alone, shared), self._workers, run)]

    def _graph(self, batch: NDArray[np.uint8], worker: int | None) -> OrtGraph:
        """The graph of a crop size, on all threads or for a worker."""
        if worker is not None and self._worker_threads == 1:
            worker = 0  # a graph of one thread may be called by several workers at once
        key = batch.shape[1] if self.io_spec.crop_sizes else 0, worker
        if key not in self._graphs:
            threads = self._threads if worker is None else self._worker_threads
            self._graphs[key] = OrtGraph(self._path, threads, self._fixed(batch), content=self._content)
        return self._graphs[key]

    def _fixed(self, batch: NDArray[np.uint8]) -> dict[str, int] | None:
        _, height, width, _ = batch.shape
        return {"height": height, "width": width} if self.io_spec.crop_sizes else None

    def layer_times(
        self, batch: NDArray[np.uint8], runs: int = 10, inputs: Inputs = NO_INPUTS
    ) -> tuple[LayerTime, ...]:
        self.io_spec.check(batch)
        if self._closed:
            raise EngineError(CLOSED)
        return layer_times(self._path, batch, runs, self._threads, self._fixed(batch), inputs, self._content)

    def warm_up(self) -> None:
        for batch in warm_up_batches(self.io_spec, self._workers.count):
            self.infer(batch)

    def close(self) -> None:
        with self._lock:
            self._closed, self._content = True, b""
            for graph in self._graphs.values():
                graph.close()
            self._graphs.clear()
            self._workers.close()


def graph_tensors(path: Path, content: bytes) -> GraphTensors:
    """Names, shapes and types of a graph's inputs and outputs; the graph is not optimized for running.

    Args:
        path: for messages.
        content: of the ONNX file.

    Raises:
        EngineError: the file cannot be loaded, or a type is not uint8, float or float16.
    """
    release = version()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions have no narrower common base
        raise EngineError(f"{path} cannot be loaded by ONNX Runtime {release}: {first_line(error)}") from None
    inputs, outputs = session.get_inputs(), session.get_outputs()
    return GraphTensors(tuple(map(_tensor_spec, inputs)), tuple(map(_tensor_spec, outputs)))


def plain_session(
    path: Path, threads: int = 0, fixed: dict[str, int] | None = None
) -> Callable[[NDArray[Any]], list[NDArray[Any]]]:
    """An ONNX file of one input in ONNX Runtime with its default options, for comparison with `OrtSession`.

    Args:
        path, threads, fixed: see `OrtGraph`.

    Returns:
        Function of the input that returns every output.
    """
    version()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    for name, size in (fixed or {}).items():
        options.add_free_dimension_override_by_name(name, size)
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda tensor: list(session.run(None, {name: tensor}))
