"""Edge: 3×3 convolutions with ReLU, which every runtime fuses and INT8 barely degrades.

During training each inner convolution is a sum of branches (structural re-parameterization); `Edge.fused` merges them
into one kernel, equal up to FP32 rounding.

Source of branches in training and one kernel at inference: X. Ding et al., "RepVGG: making VGG-style ConvNets great
again", 2021; of a wide branch of 1×1 and 3×3: X. Zhang et al., "Edge-oriented convolution block for real-time super
resolution on mobile devices", 2021.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.resample import enlarge
from ..layers.sub_pixel import check_scale, check_sizes, init_residual

if TYPE_CHECKING:
    from typing_extensions import Self

EXPANSION = 2
"""Channels inside the wide branch, as a multiple of the width."""
SIZES = {"nano": (32, 5), "tiny": (48, 8), "small": (64, 12)}
"""Name -> width and depth: at most 0.07, 0.20 and 0.50 GMAC for a face of 32×32 at a scale of 4."""


class RepConv(nn.Module):
    """A 3×3 convolution as the sum of a 3×3, a 1×1, a widening 1×1 followed by a 3×3, and the identity.

    The kernels are summed, not the outputs: it costs little more than a plain convolution.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.square = nn.Conv2d(width, width, 3, padding=1)
        self.point = nn.Conv2d(width, width, 1, bias=False)
        self.widen = nn.Conv2d(width, EXPANSION * width, 1, bias=False)
        self.narrow = nn.Conv2d(EXPANSION * width, width, 3, bias=False)

    def kernel(self) -> Tensor:
        """(C, C, 3, 3) sum of the kernels."""
        wide = torch.einsum("omyx,mi->oiyx", self.narrow.weight, self.widen.weight[:, :, 0, 0])
        point = self.point.weight[:, :, 0, 0] + torch.eye(len(wide), dtype=wide.dtype, device=wide.device)
        return self.square.weight + wide + F.pad(point[..., None, None], (1, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return F.conv2d(x, self.kernel(), self.square.bias, padding=1)

    def fused(self) -> nn.Conv2d:
        """Equivalent plain convolution."""
        fused = copy.deepcopy(self.square)
        with torch.no_grad():
            fused.weight.copy_(self.kernel())
        return fused


class Edge(nn.Module):
    """3×3 convolutions with ReLU and one sub-pixel step at the end; the output is added to the bicubic image.

    Args:
        width: channels.
        depth: convolutions between the first and the last.
        scale: 2, 3, 4 or 8.
        branches: train each inner convolution as a sum, see `RepConv`.
    """

    def __init__(self, width: int = 48, depth: int = 8, scale: int = 4, branches: bool = False) -> None:
        super().__init__()
        check_sizes(width=width, depth=depth)
        check_scale(scale, (2, 3, 4, 8))
        self.scale = scale
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.ModuleList(
            RepConv(width) if branches else nn.Conv2d(width, width, 3, padding=1) for _ in range(depth)
        )
        self.tail = nn.Conv2d(width, 3 * scale * scale, 3, padding=1)
        branch_ends = [self.tail]
        for layer in self.body:
            if isinstance(layer, RepConv):
                branch_ends += [layer.square, layer.point, layer.narrow]
        init_residual(self, branch_ends)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), RGB in [0, 1] -> (N, 3, scale·H, scale·W), RGB near [0, 1], not clipped."""
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 would round the picture to whole gray levels
            bicubic = enlarge(x, self.scale)
        return F.pixel_shuffle(self.sub_pixels(x), self.scale) + bicubic

    def sub_pixels(self, x: Tensor) -> Tensor:
        """Residual to the bicubic image before the pixel shuffle: (N, 3, H, W) -> (N, 3·scale², H, W)."""
        return self.after_head(self.head(x))

    def after_head(self, first: Tensor) -> Tensor:
        """Output of the first convolution, (N, width, H, W) -> residual, (N, 3·scale², H, W)."""
        feature = F.relu(first)
        for layer in self.body:
            feature = F.relu(layer(feature))
        sub_pixels: Tensor = self.tail(feature)
        return sub_pixels

    def in_bgr(self) -> Self:
        """A copy with BGR input, whose sub-pixels are in the order (row, column, color BGR) of a pixel's block.

        The channels of the first and the last convolution are permuted, so neither colors nor blocks are reordered at
        inference.
        """
        swapped = copy.deepcopy(self)
        with torch.no_grad():
            swapped.head.weight.copy_(self.head.weight.flip(1))
            for target, source in zip(swapped.tail.parameters(), self.tail.parameters(), strict=True):
                by_color = source.view(3, self.scale**2, *source.shape[1:]).flip(0)
                target.copy_(by_color.transpose(0, 1).flatten(0, 1))
        return swapped

    def unfuse(self, fused: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert weights of a fused network for the branches of this one.

        The 1×1 and the wide branch keep this network's weights; the 3×3 branch is set so that the sum equals the fused
        kernel. Weights that do not fit are passed through.
        """
        weights = dict(fused)
        for index, layer in enumerate(self.body):
            weight, bias = (fused.get(f"body.{index}.{name}") for name in ("weight", "bias"))
            if not isinstance(layer, RepConv) or weight is None or bias is None:
                continue
            if weight.shape == layer.square.weight.shape:
                with torch.no_grad():
                    square = weight.float() - (layer.kernel() - layer.square.weight)
                branches = {**layer.state_dict(), "square.weight": square, "square.bias": bias}
                weights |= {f"body.{index}.{name}": value for name, value in branches.items()}
                del weights[f"body.{index}.weight"], weights[f"body.{index}.bias"]
        return weights

    def fused(self) -> Self:
        """An equivalent copy without branches."""
        network = copy.deepcopy(self)
        for index, layer in enumerate(self.body):
            if isinstance(layer, RepConv):
                network.body[index] = layer.fused()
        return network
