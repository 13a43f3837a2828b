"""SRCNN, the first convolutional super-resolution network; a baseline of the papers' tables.

Source: C. Dong et al., "Image super-resolution using deep convolutional networks", 2014; its 9-1-5 variant with 64 and
32 channels, as in section 2.1 of the MFFCN paper.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .layers.resample import enlarge
from .layers.sub_pixel import init_residual


class SRCNN(nn.Module):
    """Patch extraction, mapping, reconstruction: three convolutions on the bicubic image.

    Differences from the paper: three color channels instead of the luma, zero-padded borders instead of none.

    Args:
        scale: 2 or more; the weights do not depend on it.
        bicubic_skip: add the bicubic image to the output. Not in the paper, which needs many times the steps.
    """

    def __init__(self, scale: int = 4, bicubic_skip: bool = True) -> None:
        super().__init__()
        self.scale = scale
        self.bicubic_skip = bicubic_skip
        self.extract = nn.Conv2d(3, 64, 9, padding=4)
        self.map = nn.Conv2d(64, 32, 1)
        self.reconstruct = nn.Conv2d(32, 3, 5, padding=2)
        init_residual(self, [self.reconstruct])

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), RGB in [0, 1] -> (N, 3, scale·H, scale·W), RGB near [0, 1], not clipped."""
        bicubic = enlarge(x, self.scale)
        residual: Tensor = self.reconstruct(F.relu(self.map(F.relu(self.extract(bicubic)))))
        return residual + bicubic if self.bicubic_skip else residual
