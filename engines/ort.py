"""ONNX Runtime: the one file that imports it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bundle import Bundle
from .contract import split_batch
from .errors import EngineError, MissingDependencyError


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


class Graph:
    """An ONNX file loaded on the CPU.

    Args:
        path: the file.
        threads: of one call; 0 for one a core.
        fixed: named dimensions to fix, so that the runtime folds all that depends on them into constants.

    Raises:
        EngineError: the file cannot be loaded.
    """

    def __init__(self, path: Path, threads: int = 0, fixed: dict[str, int] | None = None) -> None:
        self.version = version()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: what matters is raised
        options.intra_op_num_threads = threads
        options.enable_mem_pattern = bool(fixed)  # a pattern is kept for each shape seen: memory would grow
        for name, size in (fixed or {}).items():
            options.add_free_dimension_override_by_name(name, size)
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's own exceptions share no narrower parent
            raise EngineError(f"{path} cannot be loaded by ONNX Runtime {self.version}: {_first_line(error)}") from None
        self.inputs = {i.name: i for i in self._session.get_inputs()}
        self.outputs = [o.name for o in self._session.get_outputs()]

    def run(self, tensor: NDArray[Any]) -> list[NDArray[Any]]:
        """Feed the first input, return every output."""
        try:
            return list(self._session.run(None, {next(iter(self.inputs)): tensor}))
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed on an input of {tensor.shape}: {_first_line(error)}") from None


class OrtSession:
    """A bundle in ONNX Runtime; a `Session`.

    Each window has a graph of its own, made when it is first needed, with height and width fixed: constants that
    depend on them (the projection's matrices) are folded, and its memory is planned once.

    Args:
        bundle: what to run.
        threads: of one call; 0 for one a core.
    """

    def __init__(self, bundle: Bundle, threads: int = 0) -> None:
        self.contract = bundle.card.contract
        self._path, self._threads = bundle.onnx, threads
        self._graphs: dict[int, Graph] = {}
        self.runtime = f"ONNX Runtime {version()} (CPU, {threads or os.cpu_count()} threads)"

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        """See `Session.infer`."""
        graph = self._graph(batch)
        parts, start = [], 0
        for size in split_batch(len(batch), self.contract.batches_of(*batch.shape[1:3])):
            parts.append(graph.run(batch[start : start + size])[0])
            start += size
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _graph(self, batch: NDArray[np.uint8]) -> Graph:
        if batch.ndim != 4 or batch.shape[3] != 3 or batch.dtype != np.uint8 or len(batch) == 0:
            raise EngineError(f"expected a batch of (N, H, W, 3) uint8, got {batch.shape} {batch.dtype}")
        _, height, width, _ = batch.shape
        windows, multiple = self.contract.windows, self.contract.multiple
        if windows and (height != width or height not in windows):
            raise EngineError(f"expected square crops of {', '.join(map(str, windows))} px, got {width}x{height}")
        if height % multiple or width % multiple:
            raise EngineError(f"expected sides that are a multiple of {multiple}, got {width}x{height}; pad the frame")
        key = height if windows else 0
        if key not in self._graphs:
            fixed = {"height": height, "width": width} if windows else None
            self._graphs[key] = Graph(self._path, self._threads, fixed)
        return self._graphs[key]

    def warm_up(self) -> None:
        """See `Session.warm_up`."""
        for side in self.contract.windows or (self.contract.multiple,):
            for count in self.contract.batches_of(side, side):
                self.infer(np.zeros((count, side, side, 3), np.uint8))

    def close(self) -> None:
        """See `Session.close`."""
        self._graphs.clear()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
