"""A network with the first and last layers that make it take pixels and give pixels."""

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

CAMERA_SMOOTH = 2.0
"""Near enough to follow the light across a face, far enough to leave noise out: on degraded faces more is not better,
less brings the noise back. See `projection_of`."""


@runtime_checkable
class BicubicResidual(Protocol):
    """A super-resolution network that can leave the bicubic picture and the order of colours to its graph."""

    def residual(self, x: Tensor) -> Tensor:
        """What it adds to the bicubic picture."""

    def in_bgr(self) -> nn.Module:
        """A copy that takes and gives BGR, as pixels lie in memory."""


class Uint8SRWrapper(nn.Module):
    """A super-resolution network between uint8 pixels, with the consistency projection as its last layer but one.

    sr + U(lr - D sr): what the shrunken face lacks of the camera's pixels is added back. D shrinks by antialiased
    bicubic, U enlarges by bicubic; both are products with small matrices, which a runtime that knows the window folds
    into constants. A network that removes noise and blocks would have them back: there U G stands for U, G being a
    Gaussian, so that brightness and tint alone are the camera's.

    A network that adds a residual R to the bicubic picture, sr = R + U lr, has it enlarged once instead of twice:
    R + U(lr + G(lr - D R - D U lr)), where D U is one small matrix.

    Args:
        network: RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W).
        scale: its enlargement.
        dtype: of the network's arithmetic; the projection and the pixels stay FP32.
        smooth: deviation of G in pixels of the small crop; 0 for none, where every pixel of the camera counts.
    """

    def __init__(self, network: nn.Module, scale: int, dtype: torch.dtype = torch.float32, smooth: float = 0.0) -> None:
        super().__init__()
        self.bgr = isinstance(network, BicubicResidual)
        self.network = (network.in_bgr() if isinstance(network, BicubicResidual) else network).to(dtype).eval()
        self.scale = scale
        self.dtype = dtype
        self.smooth = smooth

    def forward(
        self, pixels: Tensor, keys: Tensor | None = None, values: Tensor | None = None, present: Tensor | None = None
    ) -> Tensor:
        """Enlarge faces.

        Args:
            pixels: (N, H, W, 3) uint8 BGR.
            keys, values: of references, (N, R, L, P) and (N, R, L, V) float16 or float32, for a network that takes
                them; none for no references.
            present: (N, R) float32, 1 for a reference, 0 for an empty slot.

        Returns:
            (N, scale·H, scale·W, 3) uint8 BGR.
        """
        return self.rounded(self.estimate(pixels, keys, values, present))

    def estimate(
        self, pixels: Tensor, keys: Tensor | None = None, values: Tensor | None = None, present: Tensor | None = None
    ) -> Tensor:
        """As `forward`, but (N, 3, scale·H, scale·W) near [0, 1], not yet rounded to pixels: BGR if `bgr`, else RGB."""
        lr = to_planes(pixels) if self.bgr else to_rgb(pixels)
        x, sides = lr.to(self.dtype), (pixels.shape[1], pixels.shape[2])
        if isinstance(self.network, BicubicResidual):
            sr = self.network.residual(x).float()
        else:
            sr = self.network(x, *self._numbers(keys, values, present)).float()
        down = [bicubic_matrix(self.scale * side, side, torch) for side in sides]  # (H, kH) and (W, kW)
        up = [bicubic_matrix(side, self.scale * side, torch) for side in sides]
        lacking = lr - on_sides(sr, down)
        if self.bgr:
            lacking = lacking - on_sides(lr, [d @ u for d, u in zip(down, up, strict=True)])
        if self.smooth:
            lacking = on_sides(lacking, [gaussian_matrix(side, self.smooth) for side in sides])
        return sr + on_sides(lr + lacking if self.bgr else lacking, up)

    def rounded(self, estimate: Tensor) -> Tensor:
        """What `estimate` gives -> what `forward` gives."""
        return to_pixels(estimate, self.bgr)

    def _numbers(self, keys: Tensor | None, values: Tensor | None, present: Tensor | None) -> tuple[Tensor | None, ...]:
        """Of references: correlation is FP32's in every precision, what they lend is added to features."""
        return () if keys is None or values is None else (keys.float(), values.to(self.dtype), present)


def gaussian_matrix(side: int, sigma: float) -> Tensor:
    """Weights that smooth a signal mirrored at both ends: rows and columns sum to one, so that its mean stays.

    Args:
        side: samples.
        sigma: deviation in samples, a third of the side at most.

    Returns:
        (side, side) FP32.
    """
    row, column = torch.arange(side)[:, None].float(), torch.arange(side)[None, :].float()
    images = (row - column, row + column + 1, row + column + 1 - 2 * side)  # itself, and its mirrors at both ends
    weights = sum((torch.exp(-0.5 * (distance / sigma) ** 2) for distance in images), torch.zeros(()))
    return weights / weights.sum(1, keepdim=True)


def projection_of(training: Mapping[str, Any]) -> float:
    """How smooth a network's projection is, by what it was trained on: `Uint8SRWrapper`' ``smooth``.

    Args:
        training: of the weights' origin, which holds the recipe.
    """
    return CAMERA_SMOOTH if training.get("degradation") == "camera" else 0.0


class Uint8DetectorWrapper(nn.Module):
    """A face detector from uint8 pixels to the maps of the contract.

    Args:
        network: a `Detector`.
        dtype: of the network's arithmetic.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.network = on_pixels(cast(Detector, network)).to(dtype).eval()
        self.dtype = dtype

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 BGR -> (N, A, 15) float32, the first channel a score in 0..1."""
        maps = self.network(pixels.to(self.dtype)).float()
        return torch.cat((maps[..., :1].sigmoid(), maps[..., 1:]), dim=-1)


def expose_pre_round(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph whose one output is what its rounding takes.

    Args:
        model: pixels to pixels.

    Returns:
        The graph from pixels to (N, 3, scale·H, scale·W) float in 0..255, RGB or BGR as its network has it.

    Raises:
        BuildError: the graph does not round exactly once.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    rounding = [node for node in copy.graph.node if node.op_type == "Round"]
    if len(rounding) != 1:
        raise BuildError(f"a graph from pixels to pixels rounds once, this one {len(rounding)} times; trace it again")
    del copy.graph.output[:]
    copy.graph.output.append(onnx.helper.make_tensor_value_info(rounding[0].input[0], onnx.TensorProto.FLOAT, None))
    return copy
