"""Reference graphs: encoder and embedding, which build a reference library for MSRNet.

Both are FP32 in every precision of the network, so one library serves all of them.
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
from .onnx import simplify, trace

MAX_ERROR = 1e-3
"""Maximum error of keys, values and embeddings to PyTorch, relative to their largest absolute value."""
FACES = 4


class ReferenceEncoder(nn.Module):
    """Encode reference faces to the keys and values that a library stores, with a copy of a network."""

    def __init__(self, network: MSRNet) -> None:
        super().__init__()
        self.network = deepcopy(network).eval()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(M, S, S, 3) uint8 BGR -> keys (M, L, P) and values (M, L, V), float32."""
        return self.network.encode(to_rgb(pixels))


class FaceEmbedding(nn.Module):
    """Embed low-resolution faces for nearest-neighbor search in a library, with a copy of a network."""

    def __init__(self, network: MSRNet) -> None:
        super().__init__()
        self.network = deepcopy(network).eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, s, s, 3) uint8 BGR -> (N, E) float32; similar faces have a small L1 distance."""
        return self.network.embedding(to_rgb(pixels))


def reference_graphs(
    network: MSRNet, faces: list[NDArray[np.uint8]], folder: Path, report: Callable[[str], None]
) -> dict[str, float]:
    """Export both graphs and verify them against PyTorch.

    Args:
        network: trained, FP32.
        faces: ground-truth faces, (H, W, 3) uint8 BGR.
        folder: destination of `REFERENCES` and `EMBEDDING`.

    Returns:
        Their maximum relative errors, for the card.

    Raises:
        BuildError: a graph cannot be exported.
        ParityError: an error exceeds the limit.
    """
    hr = reference_crops(network, faces)
    lr = low_resolution(hr, network.first_scale)
    batch = torch.export.Dim("batch", min=1, max=64)
    parity = {}
    for name, module, pixels, outputs in (
        (REFERENCES, ReferenceEncoder(network), hr, ["keys", "values"]),
        (EMBEDDING, FaceEmbedding(network), lr, ["embedding"]),
    ):
        examples = (torch.from_numpy(pixels[:2]),)
        onnx.save(simplify(trace(module, examples, ["pixels"], outputs, ({0: batch},))), folder / name)
        with torch.inference_mode():
            expected = module(torch.from_numpy(pixels))
        expected = expected if isinstance(expected, tuple) else (expected,)
        actual = OrtGraph(folder / name).run(pixels)
        error = max(_max_rel_error(*pair) for pair in zip(expected, actual, strict=True))
        if not error <= MAX_ERROR:
            raise ParityError(
                f"{name} differs from PyTorch by {error:.2g}, limit {MAX_ERROR:g}; report a bug for this network"
            )
        report(f"{name}: verified against PyTorch, max rel error {error:.2g}")
        parity[f"{name.removesuffix('.onnx')}_max_rel_error"] = float(f"{error:.2g}")
    return parity


def reference_features(
    network: MSRNet, crops: NDArray[np.uint8], faces: list[NDArray[np.uint8]], slots: int
) -> tuple[NDArray[np.uint8], tuple[NDArray[Any], ...]]:
    """Example inputs for export and parity: low-resolution faces with references, and the same without.

    Args:
        network: trained, FP32.
        crops: (N, s, s, 3) uint8 BGR.
        faces, slots: ground-truth faces, (H, W, 3) uint8 BGR, assigned cyclically as references, R to each crop.

    Returns:
        (2N, s, s, 3) crops; keys (2N, R, L, P) and values (2N, R, L, V) float16, present (2N, R) float32.
    """
    with torch.inference_mode():
        encoded = network.encode(to_rgb(torch.from_numpy(reference_crops(network, faces))))
    index = (np.arange(len(crops))[:, None] + np.arange(1, slots + 1)) % len(encoded[0])
    keys, values = (np.concatenate((part := features.half().numpy()[index], part)) for features in encoded)
    present = np.ones((2 * len(crops), slots), np.float32)
    present[len(crops) :] = 0
    present[: len(crops) // 2, slots // 2 :] = 0
    return np.concatenate((crops, crops)), (keys, values, present)


def reference_crops(network: MSRNet, faces: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Center crops of a few ground-truth faces at the reference size of the network, (M, S, S, 3)."""
    side = network.large_side * (network.scale // network.first_scale)
    crops = np.stack([center_crop(face, side) for face in faces[:FACES]])
    return low_resolution(crops, side // network.large_side)


def _max_rel_error(expected: Tensor, actual: NDArray[Any]) -> float:
    return float(np.abs(expected.numpy() - actual).max() / expected.abs().max().clamp(min=1e-9))
