"""YuNet's published ONNX files, with the I/O spec of this package's detectors.

Source: W. Wu et al., "YuNet: a tiny millisecond-level face detector", 2023. The graph takes (N, 3, H, W) float BGR in
0..255 and returns four maps per stride: class scores, objectness scores, boxes and landmarks, encoded like ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .bundle.external_data import read_onnx
from .bundle.io_spec import IOSpec
from .errors import EngineError
from .onnxruntime.session import OrtGraph, layer_times
from .postprocess import STRIDES
from .session import CLOSED, LayerTime, Output

_CHANNELS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
_OUTPUTS = tuple(f"{name}_{stride}" for name in _CHANNELS for stride in STRIDES)


class YuNetSession:
    """A YuNet file in ONNX Runtime; implements `Session`.

    Args:
        path: the ONNX file, of a fixed or dynamic input size.
        threads: CPU threads of one call; 0 for one per core.

    Raises:
        EngineError: the file cannot be read, or is not a YuNet.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        self._content = read_onnx(path)
        self.fingerprint = hashlib.sha256(self._content).hexdigest()[:16]
        self._graph = OrtGraph(path, threads, content=self._content)
        self._path, self._threads, self.precision = path, threads, "fp32"
        if not set(_OUTPUTS) <= set(self._graph.outputs) or len(self._graph.inputs) != 1:
            raise EngineError(f"{path} is not a supported face detector; give a YuNet ONNX file or a bundle")
        (node,) = self._graph.inputs.values()
        height, width = node.shape[2:]
        sizes_hw = ((height, width),) if isinstance(height, int) and isinstance(width, int) else ()
        self.io_spec = IOSpec("face-detection", multiple=STRIDES[-1], sizes_hw=sizes_hw)
        self.runtime = f"ONNX Runtime {self._graph.version} (CPU)"

    def layer_times(self, batch: NDArray[np.uint8], runs: int = 10) -> tuple[LayerTime, ...]:
        """See `Session.layer_times`; of the first image of the batch."""
        self.io_spec.check(batch)
        self._check_open()
        return layer_times(self._path, _tensor(batch[0]), runs, self._threads, content=self._content)

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.io_spec.check(batch)
        return np.concatenate([self._infer_one(image) for image in batch])  # the files have a fixed batch size of 1

    def infer_batches(self, batches: Sequence[NDArray[np.uint8]]) -> list[Output]:
        """See `Session.infer_batches`."""
        self._check_open()
        return [Output(self.infer(batch)) for batch in batches]

    def _infer_one(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        maps = dict(zip(self._graph.outputs, self._graph.run(_tensor(image)), strict=True))
        rows = []
        self._check_maps(maps, *image.shape[:2])
        for stride in STRIDES:
            score = np.sqrt(np.clip(maps[f"cls_{stride}"], 0, 1) * np.clip(maps[f"obj_{stride}"], 0, 1))
            rows.append(np.concatenate((score, maps[f"bbox_{stride}"], maps[f"kps_{stride}"]), axis=2))
        return np.concatenate(rows, axis=1)  # (1, A, 15)

    def _check_maps(self, maps: dict[str, NDArray[np.float32]], height: int, width: int) -> None:
        for name, channels in _CHANNELS.items():
            for stride in STRIDES:
                expected = (1, (height // stride) * (width // stride), channels)
                if (shape := maps[f"{name}_{stride}"].shape) != expected:
                    raise EngineError(
                        f"{self._path} is not a supported face detector: {name}_{stride} has the shape {shape}, "
                        f"expected {expected}; give a YuNet ONNX file or a bundle"
                    )

    def warm_up(self) -> None:
        height, width = self.io_spec.largest_hw or (STRIDES[-1], STRIDES[-1])
        self.infer(np.zeros((1, height, width, 3), np.uint8))

    def _check_open(self) -> None:
        if self._graph.closed:
            raise EngineError(CLOSED)

    def close(self) -> None:
        self._graph.close()


def _tensor(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32, 0..255."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32)
