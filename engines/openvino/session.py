"""OpenVINO on the CPU. Only this file imports it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batching import calls_of, check_threads, shapes_of
from ..bundle.bundle import Bundle
from ..errors import EngineError, MissingDependencyError
from ..session import LayerTime

SETTINGS = {
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": 1,
    "INFERENCE_PRECISION_HINT": "f32",
    "ENABLE_CPU_PINNING": False,
}
"""Compilation properties. f32: on processors with bfloat16 the runtime would otherwise compute in bfloat16 by default,
and results would depend on the processor; the precision is defined by the graph. No pinning: the detector, the network
and other processes share the cores (one face in 151 ms instead of 180 ms on two busy cores)."""


def installed() -> bool:
    """Whether OpenVINO is installed, without importing it, which takes most of a second."""
    return find_spec("openvino") is not None


def version() -> str:
    """Version of OpenVINO without its build number, e.g. "2026.1.0"."""
    return str(_openvino().__version__).partition("-")[0]


def _openvino() -> Any:
    try:
        import openvino
    except ImportError:
        raise MissingDependencyError("OpenVINO", "openvino", "the engine openvino") from None
    return openvino


class CompiledGraph:
    """A graph compiled for one input shape, or for a dynamic one.

    Args:
        model: as read by OpenVINO.
        shape: of its input, (N, H, W, 3); -1 for dynamic dimensions.
        threads: CPU threads of one call; 0 for one per core.
        profiling: measure the time of every node.

    Raises:
        EngineError: OpenVINO cannot compile it.
    """

    def __init__(self, model: Any, shape: tuple[int, ...], threads: int, profiling: bool = False) -> None:
        self._ov = _openvino()
        settings = {**SETTINGS, "PERF_COUNT": profiling, **({"INFERENCE_NUM_THREADS": threads} if threads else {})}
        try:
            model.reshape(list(shape))
            self._request = self._ov.Core().compile_model(model, "CPU", settings).create_infer_request()
        except Exception as error:  # the runtime's exceptions have no narrower common base
            raise EngineError(f"OpenVINO cannot compile the graph for {shape}: {_last_line(error)}") from None
        output = self._request.model_outputs[0]
        self.dtype = output.element_type.to_dtype()
        self.output_shape = tuple(output.shape) if output.partial_shape.is_static else None
        """Shape of the output; None for a dynamic input shape."""

    def run(self, pixels: NDArray[np.uint8], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Run one call; the runtime reads the pixels without copying them.

        Args:
            pixels: (N, H, W, 3) uint8.
            out: array to write the result to; None for a new one.
        """
        pixels = np.require(pixels, requirements=["C", "W"])  # the runtime accepts writable arrays only
        try:
            self._request.set_input_tensor(self._ov.Tensor(pixels, shared_memory=True))
            if out is not None:
                self._request.set_output_tensor(self._ov.Tensor(out, shared_memory=True))
            self._request.infer()
        except Exception as error:
            raise EngineError(f"OpenVINO failed on an input of {pixels.shape}: {_last_line(error)}") from None
        return out if out is not None else np.array(self._request.get_output_tensor().data)  # the next call reuses it

    def layer_times(self) -> list[LayerTime]:
        """Time of every node in the last call, in execution order."""
        return [
            LayerTime(node.node_name, node.node_type, node.real_time.total_seconds() * 1e3)
            for node in self._request.get_profiling_info()
            if node.status == node.Status.EXECUTED
        ]


class OvSession:
    """A bundle in OpenVINO; implements `Session`.

    A super-resolution network is compiled for each input shape on first use; there are as many shapes as crop sizes and
    batch sizes. A detector that accepts any size is compiled once with a dynamic shape: a frame of a new size then
    takes tenths of a second instead of seconds.

    Args:
        bundle: to run.
        threads: CPU threads of one call; 0 for one per core.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
        EngineError: the graph cannot be read, or has more than one input.
    """

    def __init__(self, bundle: Bundle, threads: int = 0) -> None:
        check_threads(threads)
        self.io_spec = bundle.card.io_spec
        self._path, self._threads = bundle.onnx, threads
        self.runtime = f"OpenVINO {version()} (CPU, {threads or os.cpu_count()} threads)"
        self._model: Any = _read(self._path)
        self._graphs: dict[tuple[int, ...], CompiledGraph] = {}

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        calls = calls_of(batch, self.io_spec)
        graphs = [self._graph(batch[call].shape) for call in calls]
        if graphs[0].output_shape is None:
            outputs = [graph.run(batch[call]) for graph, call in zip(graphs, calls, strict=True)]
            return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
        out = np.empty((len(batch), *graphs[0].output_shape[1:]), graphs[0].dtype)
        for graph, call in zip(graphs, calls, strict=True):
            graph.run(batch[call], out[call])
        return out

    def _graph(self, shape: tuple[int, ...]) -> CompiledGraph:
        compiled_shape = self._compiled_shape(shape)
        if compiled_shape not in self._graphs:
            self._model = self._model or _read(self._path)
            self._graphs[compiled_shape] = CompiledGraph(self._model, compiled_shape, self._threads)
        return self._graphs[compiled_shape]

    def _compiled_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that the graph is compiled for to run inputs of `shape`."""
        return shape if self.io_spec.crop_sizes or self.io_spec.sizes_hw else (-1, -1, -1, 3)

    def layer_times(self, batch: NDArray[np.uint8], runs: int = 10) -> tuple[LayerTime, ...]:
        self.io_spec.check(batch)
        graph = CompiledGraph(_read(self._path), self._compiled_shape(batch.shape), self._threads, profiling=True)
        graph.run(batch)
        calls = []
        for _ in range(runs):
            graph.run(batch)
            calls.append(graph.layer_times())
        return tuple(
            LayerTime(layer[0].name, layer[0].kind, sum(time.ms for time in layer) / runs)
            for layer in zip(*calls, strict=True)
        )

    def warm_up(self) -> None:
        for shape in shapes_of(self.io_spec):
            self.infer(np.zeros(shape, np.uint8))

    def close(self) -> None:
        self._graphs.clear()
        self._model = None


def _read(path: Path) -> Any:
    """Read an ONNX file with OpenVINO's ONNX frontend only: the other frontends print warnings on standard error."""
    _openvino()
    from openvino.frontend import FrontEndManager

    try:
        frontend = FrontEndManager().load_by_framework("onnx")
        model = frontend.convert(frontend.load(str(path)))
    except Exception as error:
        raise EngineError(f"{path} cannot be loaded by OpenVINO {version()}: {_last_line(error)}") from None
    if len(model.inputs) != 1:
        raise EngineError(
            f"{path} cannot be loaded by OpenVINO {version()}: expected a graph of one input, got {len(model.inputs)}; "
            "use --engine onnxruntime"
        )
    return model


def _last_line(error: Exception) -> str:
    """The last line of an OpenVINO exception; the lines before are source locations."""
    return str(error).strip().splitlines()[-1][:200] if str(error).strip() else type(error).__name__
