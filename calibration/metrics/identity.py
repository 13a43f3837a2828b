"""Whether a face recogniser still sees the same person: similarity of an enlarged face and the true one."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.errors import EngineError
from ...engines.onnxruntime.session import OrtGraph, layer_times
from .evaluate import Measure

SIDE = 112
"""Side of a recogniser's input where its graph leaves it open, in pixels."""
REMEMBERED = 2048
"""Embeddings that are kept: true faces come again with every model."""
_FORMS = "expected an ArcFace-like graph: one face in, 1x3x112x112 or 1x112x112x3, one embedding out, 1xD"


def recognition(recogniser: Path, threads: int = 0) -> Measure:
    """Cosine similarity of the embeddings of a face that came back and of the true one, -1..1.

    Source: T. Lu et al., "Face hallucination via split-attention in split-attention network", 2021, table 5.

    Args:
        recogniser: see `embedder`.
        threads: CPU threads of one call; 0 for one a core.

    Raises:
        EngineError: the file cannot be loaded, or is no recogniser.
    """
    embedding = embedder(recogniser, threads)

    def similarity(pictures: NDArray[np.uint8], true: NDArray[np.uint8]) -> NDArray[np.float64]:
        pairs = [[embedding(face) for face in pair] for pair in zip(pictures, true, strict=True)]
        return np.array([a @ b for a, b in pairs])

    return similarity


def embedder(recogniser: Path, threads: int = 0) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """What a face recogniser makes of a face: (H, W, 3) uint8 BGR -> (D,) of norm 1, like faces near each other.

    Faces are resized to the recogniser's input as they are, without alignment. A graph that takes uint8 is given RGB
    pixels; one of floats too where it begins with a subtraction, its own normalisation, or else (RGB - 127.5) / 127.5.

    Args:
        recogniser: ONNX file of a network like ArcFace or MobileFaceNet.
        threads: CPU threads of one call; 0 for one a core.

    Raises:
        EngineError: the file cannot be loaded, or is no recogniser.
    """
    if not recogniser.is_file():
        raise EngineError(f"there is no recogniser {recogniser}; give an ONNX file of a network like ArcFace")
    graph = OrtGraph(recogniser, threads)
    if len(graph.inputs) != 1:
        raise EngineError(f"{recogniser} has {len(graph.inputs)} inputs; {_FORMS}")
    (given,) = graph.inputs.values()
    channel, side = _layout(recogniser, given.shape)
    dtype = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}.get(given.type)
    if dtype is None:
        raise EngineError(f"{recogniser} takes {given.type}; {_FORMS}, in float or uint8")

    def tensor(face: NDArray[np.uint8], centred: bool) -> NDArray[Any]:
        resized = cv2.resize(face[..., ::-1], (side, side), interpolation=cv2.INTER_AREA)
        pixels = (resized.astype(np.float32) - 127.5) / 127.5 if centred else resized
        return np.ascontiguousarray(np.moveaxis(pixels, 2, channel - 1)[None].astype(dtype))

    grey = np.full((side, side, 3), 128, np.uint8)
    steps = layer_times(recogniser, tensor(grey, False), runs=1, threads=threads)
    centred = dtype != np.uint8 and "Sub" not in [step.kind for step in steps[:3]]

    @lru_cache(maxsize=REMEMBERED)
    def embedding(pixels: bytes, shape: tuple[int, ...]) -> NDArray[np.float64]:
        face = np.frombuffer(pixels, np.uint8).reshape(shape)
        found = graph.run(tensor(face, centred))[0]
        if found.size != found.shape[-1] or found.size < 2 or not np.isfinite(found).all() or not found.any():
            raise EngineError(f"{recogniser} answered with {found.shape}, or nothing but zeros; {_FORMS}")
        vector = found.reshape(-1).astype(np.float64)
        return np.asarray(vector / np.linalg.norm(vector))

    return lambda face: embedding(face.tobytes(), face.shape)


def _layout(recogniser: Path, shape: list[Any]) -> tuple[int, int]:
    """Which axis has the channels, and the side of the picture; of a graph's input shape, unknown sizes not numbers."""
    if len(shape) == 4 and (shape[0] == 1 or not isinstance(shape[0], int)):
        for channel, sides in ((1, shape[2:]), (3, shape[1:3])):
            known = {side for side in sides if isinstance(side, int)}
            if shape[channel] == 3 and len(known) <= 1:
                return channel, known.pop() if known else SIDE
    raise EngineError(f"{recogniser} takes {shape}; {_FORMS}")
