"""IDRN, improved deep residual network for face super-resolution.

Source: the IDRN paper ("an improved deep residual network"), sections 2.1 to 2.3 and 3.1, equations 1 and 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers.resample import enlarge
from .layers.sub_pixel import check_sizes, init_residual, sub_pixel


class DenseResidualUnit(nn.Module):
    """Residual unit of section 2.2: two densely connected 3×3 convolutions, no batch normalization, ReLU at the output.

    The input of the unit goes to both convolutions ("the input of each convolution layer is induced to its output, and
    all the combined feature map is passed to the next"), so the second one has 2·width input channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(2 * width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        inner = F.relu(self.first(x))
        return F.relu(x + self.second(torch.cat((x, inner), dim=1)))


class IDRN(nn.Module):
    """IDRN of any depth and width.

    Not specified by the paper and chosen here: 3×3 kernels throughout; RGB in [0, 1] as input and output; a ReLU on the
    shallow features X0 of equation 1; sub-pixel steps of ×2 (twice for ×4) or ×3, each with a ReLU as in successors of
    SRResNet; no convolution between the sum of equation 1 and the reconstruction. Equation 2 sums the square error over
    a face; the recipes take the mean, a constant factor that Adam cancels.

    Args:
        depth: number of residual units (paper: 8, 12, 16 or 20; it recommends 16).
        width: channels (paper: 64, 128 or 192; it recommends 128).
        scale: 2, 3 or 4.
        bicubic_skip: add the bicubic image to the output. Not in the paper; the network learns the detail only and
            converges in a tenth of the steps.
    """

    def __init__(self, depth: int = 8, width: int = 64, scale: int = 4, bicubic_skip: bool = True) -> None:
        super().__init__()
        check_sizes(depth=depth, width=width)
        self.scale = scale
        self.bicubic_skip = bicubic_skip
        self.head = nn.Conv2d(3, width, 3, padding=1)
        units = [DenseResidualUnit(width) for _ in range(depth)]
        self.units = nn.ModuleList(units)
        self.upsampling = sub_pixel(width, scale, scales=(2, 3, 4))
        self.tail = nn.Conv2d(width, 3, 3, padding=1)
        init_residual(self, [*(unit.second for unit in units), self.tail])

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), RGB in [0, 1] -> (N, 3, scale·H, scale·W), RGB near [0, 1], not clipped."""
        shallow = F.relu(self.head(x))  # X0
        feature, total = shallow, shallow
        for unit in self.units:
            feature = unit(feature)  # Xl
            total = total + feature  # equation 1
        residual: Tensor = self.tail(self.upsampling(total))
        return residual + enlarge(x, self.scale) if self.bicubic_skip else residual
