"""OpenVINO: the one file that imports it."""

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
"""What every network is compiled with. f32: on processors with bfloat16 the runtime would else compute in it unasked,
and give other pixels there than here; fewer bits are the graph's to say. No pinning: the detector, the network and
whoever else is on the machine take turns on the same cores (one face in 151 ms instead of 180 on two busy cores)."""


def installed() -> bool:
    """Whether there is an OpenVINO to import, which itself takes most of a second."""
    return find_spec("openvino") is not None


def version() -> str:
    """Version of OpenVINO, without its build: "2026.1.0".

    Raises:
        MissingDependencyError: it is not installed.
    """
    return str(_openvino().__version__).partition("-")[0]


def _openvino() -> Any:
    try:
        import openvino
    except ImportError:
        raise MissingDependencyError("OpenVINO", "openvino", "the engine openvino") from None
    return openvino


class CompiledGraph:
    """A graph compiled for pictures of one shape, or of any.

    Args:
        model: as OpenVINO read it.
        shape: of its input, (N, H, W, 3); -1 for what is left open.
        threads: of one call; 0 for one a core.
        clocks: take the time of every node.

    Raises:
        EngineError: OpenVINO cannot compile it.
    """

    def __init__(self, model: Any, shape: tuple[int, ...], threads: int, clocks: bool = False) -> None:
        self._ov = _openvino()
        settings = {**SETTINGS, "PERF_COUNT": clocks, **({"INFERENCE_NUM_THREADS": threads} if threads else {})}
        try:
            model.reshape(list(shape))
            self._request = self._ov.Core().compile_model(model, "CPU", settings).create_infer_request()
        except Exception as error:  # the runtime's own exceptions share no narrower parent
            raise EngineError(f"OpenVINO cannot compile the graph for {shape}: {_reason(error)}") from None
        output = self._request.model_outputs[0]
        self.dtype = output.element_type.to_dtype()
        self.output_shape = tuple(output.shape) if output.partial_shape.is_static else None
        """Of the result; none where the input's is open."""

    def run(self, pixels: NDArray[np.uint8], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Run one call; the runtime reads the pixels where they lie.

        Args:
            pixels: (N, H, W, 3) uint8.
            out: where it writes the result; none for a fresh array.
        """
        pixels = np.require(pixels, requirements=["C", "W"])  # the runtime takes nothing that it could not write to
        try:
            self._request.set_input_tensor(self._ov.Tensor(pixels, shared_memory=True))
            if out is not None:
                self._request.set_output_tensor(self._ov.Tensor(out, shared_memory=True))
            self._request.infer()
        except Exception as error:
            raise EngineError(f"OpenVINO failed on an input of {pixels.shape}: {_reason(error)}") from None
        return out if out is not None else np.array(self._request.get_output_tensor().data)  # the next call fills it

    def layers(self) -> list[LayerTime]:
        """What every node took in the last call, in order."""
        return [
            LayerTime(node.node_name, node.node_type, node.real_time.total_seconds() * 1e3)
            for node in self._request.get_profiling_info()
            if node.status == node.Status.EXECUTED
        ]


class OvSession:
    """A bundle in OpenVINO; a `Session`.

    Each shape of a super-resolution network's calls is compiled for itself when it is first needed; there are as many
    as the contract has windows and batches. A detector that takes any size is compiled once, with the size left open:
    then a frame of a size that was not seen before takes tenths of a second and not seconds.

    Args:
        bundle: what to run.
        threads: of one call; 0 for one a core.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
        EngineError: the graph cannot be read, or has more inputs than pixels.
    """

    def __init__(self, bundle: Bundle, threads: int = 0) -> None:
        check_threads(threads)
        self.io_spec = bundle.card.io_spec
        self._path, self._threads = bundle.onnx, threads
        self.runtime = f"OpenVINO {version()} (CPU, {threads or os.cpu_count()} threads)"
        self._model: Any = _read(self._path)
        self._compiled: dict[tuple[int, ...], CompiledGraph] = {}

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        """See `Session.infer`."""
        parts = [batch[call] for call in calls_of(batch, self.io_spec)]
        ready = [self._ready(part.shape) for part in parts]
        if ready[0].output_shape is None:
            maps = [one.run(part) for one, part in zip(ready, parts, strict=True)]
            return maps[0] if len(maps) == 1 else np.concatenate(maps)
        out, start = np.empty((len(batch), *ready[0].output_shape[1:]), ready[0].dtype), 0
        for one, part in zip(ready, parts, strict=True):
            one.run(part, out[start : start + len(part)])
            start += len(part)
        return out

    def _ready(self, shape: tuple[int, ...]) -> CompiledGraph:
        key = self._key(shape)
        if key not in self._compiled:
            self._model = self._model or _read(self._path)
            self._compiled[key] = CompiledGraph(self._model, key, self._threads)
        return self._compiled[key]

    def _key(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that is compiled for pictures of this one."""
        return shape if self.io_spec.windows or self.io_spec.sizes_hw else (-1, -1, -1, 3)

    def layer_times(self, batch: NDArray[np.uint8], runs: int = 10) -> tuple[LayerTime, ...]:
        """See `Session.layer_times`."""
        self.io_spec.check(batch)
        timed = CompiledGraph(_read(self._path), self._key(batch.shape), self._threads, clocks=True)
        timed.run(batch)
        taken = []
        for _ in range(runs):
            timed.run(batch)
            taken.append(timed.layers())
        return tuple(
            LayerTime(layer[0].name, layer[0].kind, sum(one.ms for one in layer) / runs)
            for layer in zip(*taken, strict=True)
        )

    def warm_up(self) -> None:
        """See `Session.warm_up`."""
        for shape in shapes_of(self.io_spec):
            self.infer(np.zeros(shape, np.uint8))

    def close(self) -> None:
        """See `Session.close`."""
        self._compiled.clear()
        self._model = None


def _read(path: Path) -> Any:
    """A graph as OpenVINO holds it; by its reader of ONNX alone, for the others complain of it on standard error."""
    _openvino()
    from openvino.frontend import FrontEndManager

    try:
        reader = FrontEndManager().load_by_framework("onnx")
        model = reader.convert(reader.load(str(path)))
    except Exception as error:
        raise EngineError(f"{path} cannot be loaded by OpenVINO {version()}: {_reason(error)}") from None
    if len(model.inputs) != 1:
        raise EngineError(
            f"{path} cannot be loaded by OpenVINO {version()}: expected a graph of one input, got {len(model.inputs)}; "
            "use --engine onnxruntime"
        )
    return model


def _reason(error: Exception) -> str:
    """The last line of an exception of OpenVINO: those before say where in its sources that was."""
    return str(error).strip().splitlines()[-1][:200] if str(error).strip() else type(error).__name__
