"""VDSR, twenty convolutions on the bicubic image; a baseline of the papers' tables.

Source: J. Kim et al., "Accurate image super-resolution using very deep convolutional networks", 2016.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from .layers.resample import enlarge
from .layers.sub_pixel import check_sizes, init_residual


class VDSR(nn.Module):
    """3×3 convolutions with ReLU; their output is added to the bicubic image.

    Difference from the paper: three color channels instead of the luma.

    Args:
        depth: number of convolutions, 2 or more (paper: 20).
        width: channels (paper: 64).
        scale: 2 or more; the weights do not depend on it.
    """

    def __init__(self, depth: int = 20, width: int = 64, scale: int = 4) -> None:
        super().__init__()
        check_sizes(width=width)
        if depth < 2:
            raise ValueError(f"depth must be 2 or more, not {depth}")
        self.scale = scale
        channels = [3, *[width] * (depth - 1)]
        hidden = [
            layer for c_in, c_out in pairwise(channels) for layer in (nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU())
        ]
        tail = nn.Conv2d(width, 3, 3, padding=1)
        self.body = nn.Sequential(*hidden, tail)
        init_residual(self, [tail])

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), RGB in [0, 1] -> (N, 3, scale·H, scale·W), RGB near [0, 1], not clipped."""
        bicubic = enlarge(x, self.scale)
        residual: Tensor = self.body(bicubic)
        return bicubic + residual
