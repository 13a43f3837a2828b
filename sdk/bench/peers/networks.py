"""Super-resolution in other software: the same weights and crops in plain runtimes, PyTorch and ncnn."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....engines.bundle.bundle import Bundle
from ....engines.errors import EngineError
from ....engines.onnxruntime.session import plain_session
from ....engines.openvino.session import plain_graph, supports_bf16
from ....engines.registry import open_session
from .ncnn_network import ncnn_network
from .task import Call, Peer, Task


@dataclass(frozen=True, eq=False)
class NetworkPeers:
    """Super-resolution of a batch of crops, in all software.

    Args:
        bundle: of the network, which takes no references.
        crops: (N, S, S, 3) uint8 BGR.
        threads: CPU threads of one call; 0 for one per core.
        folder: for graphs that are exported.
    """

    bundle: Bundle
    crops: NDArray[np.uint8]
    threads: int
    folder: Path

    def pixels_task(self) -> Task:
        """Crops to upscaled crops, uint8 to uint8, with the consistency projection: the whole graph."""
        peers = (
            Peer("facesr-edge, ONNX Runtime FP32", partial(self._session, "onnxruntime", "fp32")),
            Peer("facesr-edge, engine auto", partial(self._session, "auto", "auto")),
            Peer("ONNX Runtime FP32", partial(self._onnxruntime, self.bundle.onnx)),
            Peer("ONNX Runtime INT8", lambda stack: self._onnxruntime(self._int8(), stack)),
            Peer("OpenVINO FP32", partial(self._openvino, self.bundle.onnx, "f32")),
            Peer("OpenVINO BF16", self._bf16),
            Peer("OpenVINO INT8", lambda stack: self._openvino(self._int8(), "f32", stack)),
            Peer("PyTorch FP32, eager", partial(self._torch, False)),
            Peer("PyTorch FP32, torch.compile", partial(self._torch, True)),
        )
        count, side = self.crops.shape[:2]
        title = f"{self.bundle.card.name}, {count} crops of {side}x{side} px: ms per face"
        return Task("upscale", title, "face", peers, gray_levels, divisor=count)

    def network_task(self) -> Task:
        """The network alone, float to float: ncnn cannot run the whole graph."""
        peers = (
            Peer("ONNX Runtime FP32", self._network_onnxruntime),
            Peer("OpenVINO FP32", self._network_openvino),
            Peer("ncnn FP32", self._network_ncnn),
        )
        count, side = self.crops.shape[:2]
        title = f"the same network without uint8 conversion and projection, {count} crops of {side}x{side} px"
        return Task("network", f"{title}: ms per face", "face", peers, gray_levels_of_floats, divisor=count)

    def _session(self, engine: str, precision: str, stack: ExitStack) -> Call:
        session = open_session(self.bundle, engine, self.threads, precision)
        stack.callback(session.close)
        return partial(session.infer, self.crops)

    def _onnxruntime(self, path: Path, stack: ExitStack) -> Call:
        run = plain_session(path, self.threads, self._fixed)
        return lambda: run(self.crops)[0]

    def _openvino(self, path: Path, precision: str, stack: ExitStack) -> Call:
        return partial(plain_graph(path, self.crops.shape, self.threads, precision), self.crops)

    def _bf16(self, stack: ExitStack) -> Call:
        if not supports_bf16():
            raise EngineError("this processor has no bfloat16 arithmetic")
        return self._openvino(self.bundle.onnx, "bf16", stack)

    def _int8(self) -> Path:
        if "int8" not in self.bundle.precisions:
            raise EngineError(f"{self.bundle.card.name} has no INT8 graph; choose another --model")
        return self.bundle.graph("int8")

    def _torch(self, compiled: bool, stack: ExitStack) -> Call:
        from ....converters.torch_network import torch_call

        return partial(torch_call(self.bundle, self.threads, compiled=compiled), self.crops)

    @property
    def _fixed(self) -> dict[str, int]:
        return {"height": self.crops.shape[1], "width": self.crops.shape[2]}

    def _network_graph(self) -> tuple[Path, NDArray[np.float32]]:
        """ONNX file of the network alone, and its input, (N, 3, S, S) in 0..1."""
        from ....converters.torch_network import export_network

        side = self.crops.shape[1]
        path = self.folder / f"network-{side}.onnx"
        if not path.exists():
            export_network(self.bundle, side, path)
        return path, np.ascontiguousarray(self.crops.transpose(0, 3, 1, 2), np.float32) / np.float32(255)

    def _network_onnxruntime(self, stack: ExitStack) -> Call:
        path, planes = self._network_graph()
        run = plain_session(path, self.threads)
        return lambda: run(planes)[0]

    def _network_openvino(self, stack: ExitStack) -> Call:
        path, planes = self._network_graph()
        return partial(plain_graph(path, planes.shape, self.threads), planes)

    def _network_ncnn(self, stack: ExitStack) -> Call:
        path, planes = self._network_graph()
        run = ncnn_network(path, planes.shape[2], self.threads, self.folder)
        return lambda: np.stack([run(one) for one in planes])


def gray_levels(reference: NDArray[Any], result: NDArray[Any]) -> dict[str, float]:
    """Maximum difference of two uint8 results."""
    return {"max_difference": float(np.abs(reference.astype(np.int16) - result.astype(np.int16)).max())}


def gray_levels_of_floats(reference: NDArray[Any], result: NDArray[Any]) -> dict[str, float]:
    """Maximum difference of two results in 0..1, in gray levels."""
    return {"max_difference": round(255 * float(np.abs(reference - result).max()), 3)}
