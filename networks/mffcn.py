"""MFFCN, the multi-scale feature fusion network: face super-resolution by any factor with one set of weights.

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
    """MFF: 1×1, 3×3 and 5×5 convolutions beside each other, concatenated, and a 1×1 convolution (figure 1b).

    The paper gives no widths: each branch is half as wide as the output. A ReLU follows each convolution.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        branch = max(1, after // 2)
        self.branches = nn.ModuleList(nn.Conv2d(before, branch, side, padding=side // 2) for side in (1, 3, 5))
        self.fuse = nn.Conv2d(3 * branch, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, after, H, W)."""
        return F.relu(self.fuse(F.relu(torch.cat([branch(x) for branch in self.branches], dim=1))))


class MFFCN(nn.Module):
    """A U-Net of MFF modules on the enlarged picture, whose output is added to it.

    The paper says which layers are linked (i and n − i, by concatenation), not how the picture shrinks and grows, nor
    how many layers there are. Chosen here: three resolutions, averages of 2×2 on the way down, nearest neighbours on
    the way up, channels doubled at each; a 3×3 convolution to RGB in the end.

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
            FeatureFusion(before, after)
            for before, after in ((3, width), (width, 2 * width), (2 * width, 4 * width), (4 * width, 4 * width))
        )
        self.up = nn.ModuleList(
            FeatureFusion(before, after) for before, after in ((6 * width, 2 * width), (3 * width, width))
        )
        self.tail = nn.Conv2d(width, 3, 3, padding=1)
        init_residual(self, [self.tail])

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Enlarge faces.

        Args:
            x: (N, 3, H, W), RGB in [0, 1]; scale·H and scale·W are multiples of 4.
            scale: another than the network's own.

        Returns:
            (N, 3, scale·H, scale·W), RGB near [0, 1], not clipped.
        """
        blurred = enlarge(x, scale or self.scale)
        first = self.down[0](blurred)  # (N, C, kH, kW)
        second = self.down[1](F.avg_pool2d(first, 2))  # (N, 2C, kH/2, kW/2)
        third = self.down[3](self.down[2](F.avg_pool2d(second, 2)))  # (N, 4C, kH/4, kW/4)
        second = self.up[0](torch.cat((_doubled(third), second), dim=1))
        first = self.up[1](torch.cat((_doubled(second), first), dim=1))
        residual: Tensor = self.tail(first)
        return blurred + residual


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
