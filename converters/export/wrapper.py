"""Export wrappers: networks with uint8 input and output, and the consistency projection in the graph."""

from __future__ import annotations

from typing import Protocol, cast, runtime_checkable

import onnx
import torch
from torch import Tensor, nn

from ...engines.bundle.projection import FULL, Projection
from ...engines.errors import BuildError
from ...networks.detector import Detector, on_pixels, on_planes, rows
from ...networks.edge.track import EdgeTrack
from .projection import PEAK, MatrixProjection, SubPixelProjection, mean_squared_residual


@runtime_checkable
class SubPixelResidual(Protocol):
    """A super-resolution network that computes a residual to bicubic upscaling, in sub-pixels."""

    def sub_pixels(self, x: Tensor) -> Tensor:
        """The residual before the pixel shuffle: (N, 3, H, W) -> (N, 3·k², H, W)."""

    def in_bgr(self) -> nn.Module:
        """A copy with BGR input, whose sub-pixels are in the order (row, column, color BGR) of the k × k block."""


class Uint8SRWrapper(nn.Module):
    """Super-resolution network with uint8 BGR input and output, the consistency projection, and its residual.

    Args:
        network: RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W).
        scale: upscaling factor.
        dtype: of the network; projection and pixel conversion stay FP32.
        projected: the part of the input that the output reproduces.
    """

    projection: MatrixProjection | SubPixelProjection

    def __init__(
        self, network: nn.Module, scale: int, dtype: torch.dtype = torch.float32, projected: Projection = FULL
    ) -> None:
        super().__init__()
        self.sub_pixel = isinstance(network, SubPixelResidual)
        self.network = (network.in_bgr() if isinstance(network, SubPixelResidual) else network).to(dtype).eval()
        self.projection = (SubPixelProjection if self.sub_pixel else MatrixProjection)(scale, projected)
        self.scale = scale
        self.dtype = dtype

    def forward(
        self,
        pixels: Tensor,
        keys: Tensor | None = None,
        values: Tensor | None = None,
        present: Tensor | None = None,
        samples: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Upscale faces.

        Args:
            pixels: (N, H, W, 3) uint8 BGR.
            keys, values: of references, (N, R, L, P) and (N, R, L, V) float16 or float32; None without references.
            present: (N, R) float32, 1 for a reference, 0 for an empty slot.
            samples: of earlier crops, (N, 2·scale², H, W) float32; None for one crop of each face.

        Returns:
            (N, scale·H, scale·W, 3) uint8 BGR; and the consistency residual, (N,) float32 in gray levels squared.
        """
        levels = (self.estimate(pixels, keys, values, present, samples) * PEAK).round().clamp(0, PEAK)
        return self.pixels(levels), mean_squared_residual(self.projection, levels, self._planes(pixels))

    def estimate(
        self,
        pixels: Tensor,
        keys: Tensor | None = None,
        values: Tensor | None = None,
        present: Tensor | None = None,
        samples: Tensor | None = None,
    ) -> Tensor:
        """The upscaled faces before rounding, near [0, 1]: sub-pixels (N, 3·k², H, W), or RGB (N, 3, k·H, k·W)."""
        lr = self._planes(pixels) / PEAK
        x = lr.to(self.dtype)
        if samples is not None:
            sr = cast(EdgeTrack, self.network).sub_pixels(x, samples.to(self.dtype)).float()
        elif isinstance(self.network, SubPixelResidual):
            sr = self.network.sub_pixels(x).float()
        elif keys is None or values is None:
            sr = self.network(x).float()
        else:  # CPUs have no FP16 matrix product for the matching; values are added to features and have their type
            sr = self.network(x, keys.float(), values.to(self.dtype), present).float()
        projected: Tensor = self.projection(sr, lr)
        return projected

    def pixels(self, levels: Tensor) -> Tensor:
        """Convert a rounded `estimate` in gray levels to (N, k·H, k·W, 3) uint8 BGR."""
        if not self.sub_pixel:
            return levels.flip(1).permute(0, 2, 3, 1).to(torch.uint8)
        (n, _, height, width), k = levels.shape, self.scale
        blocks = levels.permute(0, 2, 3, 1).reshape(n * height, width, k, 3 * k)  # rows of blocks
        return blocks.transpose(1, 2).reshape(n, k * height, k * width, 3).to(torch.uint8)

    def _planes(self, pixels: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 BGR -> (N, 3, H, W) float gray levels in the color order of the network."""
        planes = pixels.float().permute(0, 3, 1, 2)
        return planes if self.sub_pixel else planes.flip(1)


class SubPixelCore(nn.Module):
    """Super-resolution network for `trt_graph`: crops (N, 3, H, W) BGR in 0..1 to sub-pixels (N, 3·k², H, W).

    Args:
        network, scale, dtype: see `Uint8SRWrapper`; modified.

    Attributes:
        bicubic: the sub-pixels are the residual to the bicubic image; otherwise they are the upscaled face.
    """

    def __init__(self, network: nn.Module, scale: int, dtype: torch.dtype) -> None:
        super().__init__()
        sub_pixel = isinstance(network, SubPixelResidual)
        self.bicubic = sub_pixel or bool(getattr(network, "bicubic_skip", False))
        if isinstance(network, SubPixelResidual):
            network = network.in_bgr()
        elif self.bicubic:
            network.bicubic_skip = False  # type: ignore[assignment]  # the projection adds the bicubic image
        self.network, self.scale = network.to(dtype).eval(), scale

    def forward(
        self,
        x: Tensor,
        keys: Tensor | None = None,
        values: Tensor | None = None,
        present: Tensor | None = None,
        samples: Tensor | None = None,
    ) -> Tensor:
        """Upscale crops to sub-pixels.

        Args:
            x: (N, 3, H, W) in the type of the network.
            keys, values, present: of references, see `Uint8SRWrapper.forward`; matched in the type of the network.
            samples: of earlier crops, see `Uint8SRWrapper.forward`.

        Returns:
            (N, 3·k², H, W), channels in the order (row, column, color) of the k × k block.
        """
        if samples is not None:
            return cast(EdgeTrack, self.network).sub_pixels(x, samples.to(x.dtype))
        if isinstance(self.network, SubPixelResidual):
            residual: Tensor = self.network.sub_pixels(x)
            return residual
        references = () if keys is None or values is None else (keys.to(x.dtype), values.to(x.dtype), present)
        sr: Tensor = self.network(x.flip(1), *references).flip(1)
        (n, _, height, width), k = sr.shape, self.scale
        blocks = sr.reshape(n, 3, height // k, k, width // k, k).permute(0, 3, 5, 1, 2, 4)
        return blocks.reshape(n, 3 * k * k, height // k, width // k)


class Uint8DetectorWrapper(nn.Module):
    """A `Detector`, run in a dtype, with uint8 BGR input and the output maps of `IOSpec`.

    Args:
        network, dtype: detector on RGB in [0, 1], and its type.
        interleaved: the first convolution reads interleaved pixels, which is faster on CPUs, see `PixelStem`.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype = torch.float32, interleaved: bool = True) -> None:
        super().__init__()
        self.network = (on_pixels if interleaved else on_planes)(cast(Detector, network)).to(dtype).eval()
        self.dtype, self.interleaved = dtype, interleaved

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 BGR -> (N, A, 15) float32, the first channel a score in 0..1."""
        x = pixels.to(self.dtype)
        maps = self.network.maps(x if self.interleaved else x.permute(0, 3, 1, 2))
        boxes, points = (part.float() for part in maps)
        return rows(boxes[:, :1].sigmoid(), boxes, points)


def expose_pre_round(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph with uint8 output and replace its output with the input of its Round node.

    Returns:
        The graph with the output of `Uint8SRWrapper.estimate` in 0..255.

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
