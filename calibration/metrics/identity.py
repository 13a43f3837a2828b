"""Identity preservation: cosine similarity of face-recognition embeddings of upscaled and ground-truth faces."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.bundle.external_data import read_onnx
from ...engines.errors import EngineError
from ...engines.onnxruntime.session import OrtGraph, layer_times
from .evaluate import ImageMetric

SIDE = 112
"""Input side of a recognizer with dynamic sizes, in pixels."""
EMBEDDING_CACHE_SIZE = 2048
"""Cached embeddings: the ground-truth faces repeat with every model."""
_EXPECTED = "expected an ArcFace-like graph: one face in, 1x3x112x112 or 1x112x112x3, one embedding out, 1xD"


def identity_similarity(recognizer: Path, threads: int = 0) -> ImageMetric:
    """Metric: cosine similarity of the embeddings of an upscaled face and its ground truth, -1..1.

    Arguments and errors are those of `embedder`.

    Source: T. Lu et al., "Face hallucination via split-attention in split-attention network", 2021, table 5.
    """
    embedding = embedder(recognizer, threads)

    def similarity(sr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> NDArray[np.float64]:
        pairs = [[embedding(face) for face in pair] for pair in zip(sr, hr, strict=True)]
        return np.array([a @ b for a, b in pairs])

    return similarity


def embedder(
    recognizer: Path, threads: int = 0, content: bytes | None = None
) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """Embedding function of a face recognizer: (H, W, 3) uint8 BGR -> (D,) of norm 1.

    Faces are resized to the input of the recognizer, without alignment. A uint8 graph gets RGB pixels. A float graph
    gets RGB pixels if it begins with a subtraction, its own normalization, otherwise (RGB - 127.5) / 127.5.

    Args:
        recognizer: ONNX file of a network such as ArcFace or MobileFaceNet.
        threads: CPU threads per call; 0 for one per core.
        content: of the file, if it was read before: `recognizer` is then for messages only.

    Raises:
        EngineError: the file cannot be read or loaded, or is not a face recognizer.
    """
    if content is None and not recognizer.is_file():
        raise EngineError(f"recognizer {recognizer} does not exist; give an ONNX file of a network such as ArcFace")
    content = read_onnx(recognizer) if content is None else content
    graph = OrtGraph(recognizer, threads, content=content)
    if len(graph.inputs) != 1:
        raise EngineError(f"{recognizer} has {len(graph.inputs)} inputs; {_EXPECTED}")
    (graph_input,) = graph.inputs.values()
    channel_axis, side = _layout(recognizer, graph_input.shape)
    dtypes = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
    dtype = dtypes.get(graph_input.type)
    if dtype is None:
        raise EngineError(f"{recognizer} takes {graph_input.type}; {_EXPECTED}, in float or uint8")

    def tensor(face: NDArray[np.uint8], normalize: bool) -> NDArray[Any]:
        resized = cv2.resize(face[..., ::-1], (side, side), interpolation=cv2.INTER_AREA)
        pixels = (resized.astype(np.float32) - 127.5) / 127.5 if normalize else resized
        return np.ascontiguousarray(np.moveaxis(pixels, 2, channel_axis - 1)[None].astype(dtype))

    gray = np.full((side, side, 3), 128, np.uint8)
    layers = layer_times(recognizer, tensor(gray, False), runs=1, threads=threads, content=content)
    normalize = dtype != np.uint8 and "Sub" not in [layer.kind for layer in layers[:3]]

    @lru_cache(maxsize=EMBEDDING_CACHE_SIZE)
    def embedding(pixels: bytes, shape: tuple[int, ...]) -> NDArray[np.float64]:
        face = np.frombuffer(pixels, np.uint8).reshape(shape)
        output = graph.run(tensor(face, normalize))[0]
        if output.size != output.shape[-1] or output.size < 2 or not np.isfinite(output).all() or not output.any():
            raise EngineError(f"{recognizer} returned shape {output.shape}, or zeros or NaN; {_EXPECTED}")
        vector = output.reshape(-1).astype(np.float64)
        return np.asarray(vector / np.linalg.norm(vector))

    return lambda face: embedding(face.tobytes(), face.shape)


def _layout(recognizer: Path, shape: list[Any]) -> tuple[int, int]:
    """Channel axis and image side of a graph's input shape, in which dynamic sizes are not integers."""
    if len(shape) == 4 and (shape[0] == 1 or not isinstance(shape[0], int)):
        for channel_axis, sides in ((1, shape[2:]), (3, shape[1:3])):
            fixed = {side for side in sides if isinstance(side, int)}
            if shape[channel_axis] == 3 and len(fixed) <= 1:
                return channel_axis, fixed.pop() if fixed else SIDE
    raise EngineError(f"{recognizer} takes {shape}; {_EXPECTED}")
