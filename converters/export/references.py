"""What a network that borrows from other faces needs beside its graph: what a library is made with.

Two graphs in FP32, whatever the precision of the network: so a library serves all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...calibration.data.faces import center_crop, low_resolution
from ...engines.bundle.bundle import EMBEDDING, REFERENCES
from ...engines.errors import ParityError
from ...engines.onnxruntime.session import OrtGraph
from ...networks.layers.pixels import to_rgb
from ...networks.msrnet.network import MSRNet
from .onnx import simplified, traced

MAX_ERROR = 1e-3
"""Largest departure of keys, values and embeddings from PyTorch's, of the largest of them."""
FACES = 4


class FacesToLoans(nn.Module):
    """True faces to what a library keeps of them.

    Args:
        network: whose `encode` it is.
    """

    def __init__(self, network: MSRNet) -> None:
        super().__init__()
        self.network = deepcopy(network).eval()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(M, S, S, 3) uint8 BGR -> keys (M, L, P) and values (M, L, V), float32."""
        return self.network.encode(to_rgb(pixels))


class FacesToPoints(nn.Module):
    """Small faces to where they stand among others.

    Args:
        network: whose `embedding` it is.
    """

    def __init__(self, network: MSRNet) -> None:
        super().__init__()
        self.network = deepcopy(network).eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, s, s, 3) uint8 BGR -> (N, E) float32; alike faces are near each other in L1."""
        return self.network.embedding(to_rgb(pixels))


def reference_graphs(
    network: MSRNet, faces: list[NDArray[np.uint8]], folder: Path, report: Callable[[str], None]
) -> dict[str, float]:
    """Write both graphs and hold them against PyTorch.

    Args:
        network: as trained, FP32.
        faces: true faces, (H, W, 3) uint8 BGR.
        folder: where they are written, as `REFERENCES` and `EMBEDDING`.
        report: told the figures.

    Returns:
        Their largest departures, for the card.

    Raises:
        BuildError: a graph cannot be traced.
        ParityError: it departs too far.
    """
    large = feature_extractors(network, faces)
    small = low_resolution(large, network.first_scale)
    batch = torch.export.Dim("batch", min=1, max=64)
    found = {}
    for name, module, pixels, outputs in (
        (REFERENCES, FacesToLoans(network), large, ["keys", "values"]),
        (EMBEDDING, FacesToPoints(network), small, ["embedding"]),
    ):
        examples = (torch.from_numpy(pixels[:2]),)
        onnx.save(simplified(traced(module, examples, ["pixels"], outputs, ({0: batch},))), folder / name)
        with torch.inference_mode():
            wanted = module(torch.from_numpy(pixels))
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        error = max(_max_abs_error(*pair) for pair in zip(wanted, OrtGraph(folder / name).run(pixels), strict=True))
        if not error <= MAX_ERROR:
            raise ParityError(f"{name} departs from PyTorch by {error:.2g}, at most {MAX_ERROR:g}; report it")
        report(f"{name}: held against PyTorch, largest departure {error:.2g}")
        found[f"{name.removesuffix('.onnx')}_largest_departure"] = float(f"{error:.2g}")
    return found


def reference_features(
    network: MSRNet, crops: NDArray[np.uint8], faces: list[NDArray[np.uint8]], slots: int
) -> tuple[NDArray[np.uint8], tuple[NDArray[Any], ...]]:
    """Small faces with references, and the same without any: what a graph is traced and compared on.

    Args:
        network: as trained, FP32.
        crops: (N, s, s, 3) uint8 BGR.
        faces: true faces, (H, W, 3) uint8 BGR; each crop is lent to by some of them.
        slots: references of each.

    Returns:
        (2N, s, s, 3) crops; keys (2N, R, L, P) and values (2N, R, L, V) float16, present (2N, R) float32.
    """
    with torch.inference_mode():
        encoded = network.encode(to_rgb(torch.from_numpy(feature_extractors(network, faces))))
    turn = (np.arange(len(crops))[:, None] + np.arange(1, slots + 1)) % len(encoded[0])
    keys, values = (np.concatenate((part := kept.half().numpy()[turn], part)) for kept in encoded)
    present = np.ones((2 * len(crops), slots), np.float32)
    present[len(crops) :] = 0
    present[: len(crops) // 2, slots // 2 :] = 0
    return np.concatenate((crops, crops)), (keys, values, present)


def feature_extractors(network: MSRNet, faces: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """(M, S, S, 3): the middle of a few true faces, at the size that the network borrows from."""
    side = network.large_side * (network.scale // network.first_scale)
    cut = np.stack([center_crop(face, side) for face in faces[:FACES]])
    return low_resolution(cut, side // network.large_side)


def _max_abs_error(expected: Tensor, got: NDArray[Any]) -> float:
    return float(np.abs(expected.numpy() - got).max() / expected.abs().max().clamp(min=1e-9))
