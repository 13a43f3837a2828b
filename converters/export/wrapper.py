"""Export wrappers: networks with uint8 input and output, and the consistency projection in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast, runtime_checkable

import onnx
import torch
from torch import Tensor, nn

from ...engines.errors import BuildError
from ...networks.detector import Detector, on_pixels
from ...networks.layers.bicubic import bicubic_matrix
from ...networks.layers.pixels import to_pixels, to_planes, to_rgb
from ...networks.layers.resample import on_sides

CAMERA_SIGMA = 2.0
"""Standard deviation, in pixels, of the projection's low-pass filter for networks trained on camera degradation. On
degraded faces, larger values do not improve PSNR and smaller ones bring the camera's noise back. See
`projection_sigma`."""


@runtime_checkable
class BicubicResidual(Protocol):
    """A super-resolution network that computes a residual to bicubic upscaling and supports BGR input."""

    def residual(self, x: Tensor) -> Tensor:
        """The residual to the bicubic image."""

    def in_bgr(self) -> nn.Module:
        """A copy of the network with BGR input and output."""


class Uint8SRWrapper(nn.Module):
    """Super-resolution network with uint8 BGR input and output and the consistency projection.

    sr + U(lr - D sr): the difference between the input and the downscaled output is added back. D is antialiased
    bicubic downscaling, U bicubic upscaling; both are products with small matrices, which a runtime that knows the crop
    size folds into constants. For a network that removes noise and compression artifacts the projection would bring
    them back: U is replaced by U G, G being a Gaussian low-pass filter, so that only brightness and tint are projected.

    A network that adds a residual R to the bicubic image, sr = R + U lr, needs one upscaling instead of two:
    R + U(lr + G(lr - D R - D U lr)), where D U is one small matrix.

    Args:
        network: RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W).
        scale: upscaling factor.
        dtype: of the network; projection and pixel conversion stay FP32.
        sigma: standard deviation of G in low-resolution pixels; 0 disables G.
    """

    def __init__(self, network: nn.Module, scale: int, dtype: torch.dtype = torch.float32, sigma: float = 0.0) -> None:
        super().__init__()
        self.bgr = isinstance(network, BicubicResidual)
        self.network = (network.in_bgr() if isinstance(network, BicubicResidual) else network).to(dtype).eval()
        self.scale = scale
        self.dtype = dtype
        self.sigma = sigma

    def forward(
        self, pixels: Tensor, keys: Tensor | None = None, values: Tensor | None = None, present: Tensor | None = None
    ) -> Tensor:
        """Upscale faces.

        Args:
            pixels: (N, H, W, 3) uint8 BGR.
            keys, values: of references, (N, R, L, P) and (N, R, L, V) float16 or float32; None without references.
            present: (N, R) float32, 1 for a reference, 0 for an empty slot.

        Returns:
            (N, scale·H, scale·W, 3) uint8 BGR.
        """
        return self.to_uint8(self.estimate(pixels, keys, values, present))

    def estimate(
        self, pixels: Tensor, keys: Tensor | None = None, values: Tensor | None = None, present: Tensor | None = None
    ) -> Tensor:
        """As `forward`, before rounding: (N, 3, scale·H, scale·W) near [0, 1], BGR if `bgr`, else RGB."""
        lr = to_planes(pixels) if self.bgr else to_rgb(pixels)
        x, sides = lr.to(self.dtype), (pixels.shape[1], pixels.shape[2])
        if isinstance(self.network, BicubicResidual):
            sr = self.network.residual(x).float()
        elif keys is None or values is None:
            sr = self.network(x).float()
        else:  # matching is FP32 in every precision; values are added to features and have their type
            sr = self.network(x, keys.float(), values.to(self.dtype), present).float()
        down = [bicubic_matrix(self.scale * side, side, torch) for side in sides]  # (H, kH) and (W, kW)
        up = [bicubic_matrix(side, self.scale * side, torch) for side in sides]
        error = lr - on_sides(sr, down)
        if self.bgr:
            error = error - on_sides(lr, [d @ u for d, u in zip(down, up, strict=True)])
        if self.sigma:
            error = on_sides(error, [gaussian_matrix(side, self.sigma) for side in sides])
        return sr + on_sides(lr + error if self.bgr else error, up)

    def to_uint8(self, estimate: Tensor) -> Tensor:
        """Convert the output of `estimate` to the output of `forward`."""
        return to_pixels(estimate, self.bgr)


def gaussian_matrix(side: int, sigma: float) -> Tensor:
    """Matrix (side, side) FP32 of a Gaussian filter with mirrored borders.

    Rows and columns sum to 1, so the mean is preserved. `sigma` is at most a third of `side`.
    """
    row, column = torch.arange(side)[:, None].float(), torch.arange(side)[None, :].float()
    distances = (row - column, row + column + 1, row + column + 1 - 2 * side)  # to the sample and its two mirror images
    weights = sum((torch.exp(-0.5 * (distance / sigma) ** 2) for distance in distances), torch.zeros(()))
    return weights / weights.sum(1, keepdim=True)


def projection_sigma(training: Mapping[str, Any]) -> float:
    """`Uint8SRWrapper.sigma` for the degradation in a network's training record."""
    return CAMERA_SIGMA if training.get("degradation") == "camera" else 0.0


class Uint8DetectorWrapper(nn.Module):
    """A `Detector`, run in a dtype, with uint8 BGR input and the output maps of `IOSpec`."""

    def __init__(self, network: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.network = on_pixels(cast(Detector, network)).to(dtype).eval()
        self.dtype = dtype

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 BGR -> (N, A, 15) float32, the first channel a score in 0..1."""
        maps = self.network(pixels.to(self.dtype)).float()
        return torch.cat((maps[..., :1].sigmoid(), maps[..., 1:]), dim=-1)


def expose_pre_round(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph with uint8 output and replace its output with the input of its Round node.

    Returns:
        The graph with output (N, 3, scale·H, scale·W) float in 0..255, RGB or BGR as in its network.

    Raises:
        BuildError: the graph does not have exactly one Round node.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    rounds = [node for node in copy.graph.node if node.op_type == "Round"]
    if len(rounds) != 1:
        raise BuildError(f"expected one Round node in a graph with uint8 output, found {len(rounds)}; export it again")
    del copy.graph.output[:]
    copy.graph.output.append(onnx.helper.make_tensor_value_info(rounds[0].input[0], onnx.TensorProto.FLOAT, None))
    return copy
