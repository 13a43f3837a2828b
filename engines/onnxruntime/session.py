"""ONNX Runtime: the one file that imports it."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batching import calls_of, check_threads, shapes_of
from ..bundle.bundle import Bundle
from ..errors import EngineError, MissingDependencyError
from ..session import LayerTime

NO_SPINNING = ("session.intra_op.allow_spinning", "0")
"""Threads rest while there is nothing for them to do. Else those of each graph keep cores busy, waiting for its next
call, while other windows and the detector want them: on two cores a frame with one face took 2.6 times as long, one
with faces of four sizes twice. A graph that is called alone, without a pause, pays for it: 1.04 to 1.25 times the time
on two threads, nothing on one."""


def version() -> str:
    """Version of ONNX Runtime.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingDependencyError("onnxruntime", "", "running a bundle on the CPU") from None
    return str(onnxruntime.__version__)


class OrtGraph:
    """An ONNX file loaded on the CPU.

    Args:
        path: the file.
        threads: of one call; 0 for one a core.
        fixed: named dimensions to fix, so that the runtime folds all that depends on them into constants.
        record: where every node's times are recorded, the beginning of a file name; none to record nothing.

    Raises:
        UsageError: a number of threads that cannot be meant.
        EngineError: the file cannot be loaded.
    """

    def __init__(
        self, path: Path, threads: int = 0, fixed: dict[str, int] | None = None, record: Path | None = None
    ) -> None:
        self.version = version()
        check_threads(threads)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # none: what matters is raised, and told once
        options.intra_op_num_threads = threads
        options.add_session_config_entry(*NO_SPINNING)
        options.enable_mem_pattern = bool(fixed)  # a pattern is kept for each shape seen: memory would grow
        if record:
            options.enable_profiling, options.profile_file_prefix = True, str(record)
        for name, size in (fixed or {}).items():
            options.add_free_dimension_override_by_name(name, size)
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's own exceptions share no narrower parent
            raise EngineError(f"{path} cannot be loaded by ONNX Runtime {self.version}: {_first_line(error)}") from None
        self.inputs = {i.name: i for i in self._session.get_inputs()}
        self.outputs = [o.name for o in self._session.get_outputs()]
        self._zeros: dict[tuple[int, int], dict[str, NDArray[Any]]] = {}

    def run(self, *tensors: NDArray[Any]) -> list[NDArray[Any]]:
        """Feed the inputs in their order, return every output.

        Inputs that are not given are references that are not there: one of zeros for each picture.
        """
        if self._session is None:
            raise EngineError("the engine is closed; load it again")
        feed = dict(zip(self.inputs, tensors, strict=False))
        if len(feed) < len(self.inputs):
            feed |= self._absent(len(tensors[0]), len(feed))
        try:
            return list(self._session.run(None, feed))
        except Exception as error:
            shape = tensors[0].shape
            raise EngineError(f"ONNX Runtime failed on an input of {shape}: {_first_line(error)}") from None

    def _absent(self, count: int, given: int) -> dict[str, NDArray[Any]]:
        """Zeros for all inputs after the given ones, kept for the next call."""
        if (count, given) not in self._zeros:
            self._zeros[count, given] = absent(list(self.inputs.values())[given:], count)
        return self._zeros[count, given]

    def recorded(self) -> list[dict[str, Any]]:
        """End the recording and read it: the events of Chrome's trace format."""
        return list(json.loads(Path(self._session.end_profiling()).read_text("utf-8")))

    def close(self) -> None:
        """Give the memory back; `run` is over."""
        self._session = None
        self._zeros.clear()


def absent(inputs: Sequence[Any], count: int) -> dict[str, NDArray[Any]]:
    """No references: for each input zeros of one slot.

    Args:
        inputs: of a graph, as the runtime describes them: (N, R, …) each.
        count: N.
    """
    dtypes = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
    return {tensor.name: np.zeros((count, 1, *tensor.shape[2:]), dtypes[tensor.type]) for tensor in inputs}


def layer_times(
    path: Path,
    tensor: NDArray[Any],
    runs: int,
    threads: int = 0,
    fixed: dict[str, int] | None = None,
    more: tuple[NDArray[Any], ...] = (),
) -> tuple[LayerTime, ...]:
    """Time every node of a graph, as it stands after the runtime's own optimisation.

    Args:
        path, threads, fixed: see `OrtGraph`.
        tensor: its input.
        runs: calls that are averaged, after one that does not count.
        more: its other inputs, where they are given.
    """
    with TemporaryDirectory() as folder:
        graph = OrtGraph(path, threads, fixed, Path(folder) / "layers")
        for _ in range(runs + 1):
            graph.run(tensor, *more)
        events = graph.recorded()
        graph.close()
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_NODE):
            taken[event["name"].removesuffix(_NODE), event["args"]["op_name"]].append(event["dur"] / 1e3)
    return tuple(LayerTime(name, kind, sum(ms[1:]) / runs) for (name, kind), ms in taken.items())


_NODE = "_kernel_time"
"""How the runtime's recording names the time of a node's arithmetic."""


class OrtSession:
    """A bundle in ONNX Runtime; a `Session`.

    Each window has a graph of its own, made when it is first needed, with height and width fixed: constants that
    depend on them (the projection's matrices) are folded, and its memory is planned once.

    Args:
        bundle: what to run.
        threads: of one call; 0 for one a core.
    """

    def __init__(self, bundle: Bundle, threads: int = 0) -> None:
        check_threads(threads)
        self.io_spec = bundle.card.io_spec
        self._path, self._threads = bundle.onnx, threads
        self._graphs: dict[int, OrtGraph] = {}
        self.runtime = f"ONNX Runtime {version()} (CPU, {threads or os.cpu_count()} threads)"

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        """See `Session.infer`."""
        calls, graph = calls_of(batch, self.io_spec), self._graph(batch)
        parts = [graph.run(batch[call])[0] for call in calls]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _graph(self, batch: NDArray[np.uint8]) -> OrtGraph:
        key = batch.shape[1] if self.io_spec.windows else 0
        if key not in self._graphs:
            self._graphs[key] = OrtGraph(self._path, self._threads, self._fixed(batch))
        return self._graphs[key]

    def _fixed(self, batch: NDArray[np.uint8]) -> dict[str, int] | None:
        _, height, width, _ = batch.shape
        return {"height": height, "width": width} if self.io_spec.windows else None

    def layer_times(self, batch: NDArray[np.uint8], runs: int = 10) -> tuple[LayerTime, ...]:
        """See `Session.layer_times`."""
        self.io_spec.check(batch)
        return layer_times(self._path, batch, runs, self._threads, self._fixed(batch))

    def warm_up(self) -> None:
        """See `Session.warm_up`."""
        for shape in shapes_of(self.io_spec):
            self.infer(np.zeros(shape, np.uint8))

    def close(self) -> None:
        """See `Session.close`."""
        for graph in self._graphs.values():
            graph.close()
        self._graphs.clear()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
