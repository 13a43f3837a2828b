"""MFFCN, multi-scale feature fusion network: face super-resolution at any scale with one set of weights.

Source: the MFFCN paper ("multi-scale feature fusion"), section 3.2 and figure 1.
"""

from __future__ import annotations

from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers.resample import enlarge
from .layers.sub_pixel import check_sizes, init_residual


class FeatureFusion(nn.Module):
    """MFF: parallel 1×1, 3×3 and 5×5 convolutions, concatenated, then a 1×1 convolution (figure 1b).

    The paper gives no widths: each branch has half the output channels. A ReLU follows each convolution.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        branch = max(1, c_out // 2)
        self.branches = nn.ModuleList(nn.Conv2d(c_in, branch, side, padding=side // 2) for side in (1, 3, 5))
        self.fuse = nn.Conv2d(3 * branch, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, H, W) -> (N, c_out, H, W)."""
        return F.relu(self.fuse(F.relu(torch.cat([branch(x) for branch in self.branches], dim=1))))


class MFFCN(nn.Module):
    """U-Net of MFF modules on the bicubic image; its output is added to that image.

    The paper specifies the skip connections (layers i and n − i, by concatenation), not the resampling nor the number
    of layers. Chosen here: three resolutions, 2×2 average pooling, nearest-neighbor upsampling, channels doubled at
    each level; a final 3×3 convolution to RGB.

    Args:
        width: channels at the full resolution.
        scale: 2 or more; the weights do not depend on it.
    """

    def __init__(self, width: int = 24, scale: int = 4) -> None:
        super().__init__()
        check_sizes(width=width)
        self.scale = scale
        self.multiple = 4 // gcd(4, scale)
        self.down = nn.ModuleList(
            FeatureFusion(c_in, c_out)
            for c_in, c_out in ((3, width), (width, 2 * width), (2 * width, 4 * width), (4 * width, 4 * width))
        )
        self.up = nn.ModuleList(
            FeatureFusion(c_in, c_out) for c_in, c_out in ((6 * width, 2 * width), (3 * width, width))
        )
        self.tail = nn.Conv2d(width, 3, 3, padding=1)
        init_residual(self, [self.tail])

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """(N, 3, H, W), RGB in [0, 1] -> (N, 3, scale·H, scale·W), RGB near [0, 1], not clipped.

        Args:
            x: scale·H and scale·W are multiples of 4.
            scale: replaces the scale of the network.
        """
        bicubic = enlarge(x, scale or self.scale)
        first = self.down[0](bicubic)  # (N, C, kH, kW)
        second = self.down[1](F.avg_pool2d(first, 2))  # (N, 2C, kH/2, kW/2)
        third = self.down[3](self.down[2](F.avg_pool2d(second, 2)))  # (N, 4C, kH/4, kW/4)
        second = self.up[0](torch.cat((_upsample(third), second), dim=1))
        first = self.up[1](torch.cat((_upsample(second), first), dim=1))
        residual: Tensor = self.tail(first)
        return bicubic + residual


def _upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
