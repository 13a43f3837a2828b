"""The uncertainty head as an ONNX graph with uint8 inputs."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ...converters.export.onnx import simplify, trace
from ...engines.errors import ParityError
from ...networks.layers.pixels import to_rgb
from ...networks.uncertainty import LUMA_BGR, Uncertainty, luma_of

INPUTS = ("pixels", "upscaled")
OUTPUT = "half_width"
MAX_ERROR = 0.01
"""Maximum difference of the graph's output and PyTorch's, gray levels."""


class Uint8UncertaintyWrapper(nn.Module):
    """The head with uint8 BGR inputs.

    Args:
        network: trained head.
    """

    def __init__(self, network: Uncertainty) -> None:
        super().__init__()
        self.network = network.eval()
        self.register_buffer("luma", torch.tensor(LUMA_BGR).view(1, 3, 1, 1) / 255)
        self.register_buffer("rgb", torch.eye(3).flip(0).view(3, 3, 1, 1) / 255)

    def forward(self, pixels: Tensor, upscaled: Tensor) -> Tensor:
        """(N, H, W, 3) and (N, k·H, k·W, 3) uint8 BGR -> (N, k·H, k·W) float32, gray levels."""
        crop, large = (one.float().permute(0, 3, 1, 2) for one in (pixels, upscaled))
        crop, luma = F.conv2d(crop, self.get_buffer("rgb")), F.conv2d(large, self.get_buffer("luma"))
        result: Tensor = self.network(crop, luma)
        return result[:, 0]


def graph_from_head(network: Uncertainty) -> onnx.ModelProto:
    """Export the head with dynamic batch, height and width."""
    scale = network.scale
    batch, height, width = (torch.export.Dim(name, min=1 if name == "batch" else 8, max=limit) for name, limit in _DIMS)
    examples = (
        torch.zeros((2, 32, 48, 3), dtype=torch.uint8),
        torch.zeros((2, 32 * scale, 48 * scale, 3), dtype=torch.uint8),
    )
    shapes = {0: batch, 1: height, 2: width}, {0: batch, 1: scale * height, 2: scale * width}
    return simplify(trace(Uint8UncertaintyWrapper(network), examples, INPUTS, [OUTPUT], shapes))


_DIMS = (("batch", 64), ("height", 1024), ("width", 1024))


def check_parity(
    network: Uncertainty, crops: NDArray[np.uint8], upscaled: NDArray[np.uint8], output: NDArray[np.float32]
) -> dict[str, float]:
    """Compare the graph's output for crops and their upscaled pixels with PyTorch's.

    Returns:
        ``exported_max_error``, gray levels.

    Raises:
        ParityError: the difference exceeds `MAX_ERROR`.
    """
    with torch.inference_mode():
        expected = network(to_rgb(torch.from_numpy(crops)), luma_of(torch.from_numpy(upscaled)))[:, 0].numpy()
    error = float(np.abs(expected - output).max())
    if error > MAX_ERROR:
        raise ParityError(f"the exported head differs from PyTorch by {error:.3g} gray levels; report a bug")
    return {"exported_max_error": error}
