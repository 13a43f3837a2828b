"""SRResNet, the predecessor of IDRN; a baseline of its tables.

Source: C. Ledig et al., "Photo-realistic single image super-resolution using a generative adversarial network", 2017;
figures 1 and 3a of the IDRN paper.
"""

from __future__ import annotations

from torch import Tensor, nn

from .layers.resample import enlarge
from .layers.sub_pixel import check_sizes, init_residual, sub_pixel


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with batch normalization, PReLU between them, and a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.PReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        result: Tensor = x + self.body(x)
        return result


class SRResNet(nn.Module):
    """Residual blocks between a 9×9 head and a 9×9 tail, with sub-pixel steps before the tail.

    Args:
        depth: residual blocks (paper: 16).
        width: channels (paper: 64).
        scale: 2, 3, 4 or 8.
        bicubic_skip: add the bicubic image to the output. Not in the paper; the network learns the detail only.
    """

    def __init__(self, depth: int = 16, width: int = 64, scale: int = 4, bicubic_skip: bool = True) -> None:
        super().__init__()
        check_sizes(depth=depth, width=width)
        self.scale = scale
        self.bicubic_skip = bicubic_skip
        self.head = nn.Sequential(nn.Conv2d(3, width, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(
            *(ResidualBlock(width) for _ in range(depth)),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.upsampling = sub_pixel(width, scale, nn.PReLU)
        self.tail = nn.Conv2d(width, 3, 9, padding=4)
        init_residual(self, [self.tail])

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), RGB in [0, 1] -> (N, 3, scale·H, scale·W), RGB near [0, 1], not clipped."""
        shallow = self.head(x)
        residual: Tensor = self.tail(self.upsampling(shallow + self.blocks(shallow)))
        return residual + enlarge(x, self.scale) if self.bicubic_skip else residual
