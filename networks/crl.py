"""CRL, combined representation learning: a residual generator with self-attention in every block.

Source: the CRL paper ("combined representation learning"), sections 3.1 and 3.4, equations 4 to 7 and 13 to 16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers.resample import enlarge
from .layers.sub_pixel import check_sizes, init_residual, sub_pixel


class Attention(nn.Module):
    """Self-attention over all positions: equations 13 to 16. γ starts at 0, so the initial module is the identity.

    The paper does not give the width of f and g: an eighth of the channels, as in earlier self-attention networks.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = max(1, width // 8)
        self.f = nn.Conv2d(width, narrow, 1)
        self.g = nn.Conv2d(width, narrow, 1)
        self.h = nn.Conv2d(width, width, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W); needs memory for (H·W)² weights per image."""
        f, g, h = (layer(x).flatten(2).transpose(1, 2) for layer in (self.f, self.g, self.h))  # (N, L, c), c, C
        weights = torch.softmax(g @ f.transpose(1, 2), dim=-1)  # (N, Lj, Li), equation 13
        attended = (weights @ h).transpose(1, 2).reshape(x.shape)  # equation 14
        result: Tensor = self.gamma * attended + x  # equation 16
        return result


class AttentionBlock(nn.Module):
    """Residual block of two 3×3 convolutions with ReLU between them and attention after the second (figure 1a)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.attention = Attention(width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        result: Tensor = x + self.attention(self.second(F.relu(self.first(x))))
        return result


class CRL(nn.Module):
    """The generator of section 3.1.

    Not specified by the paper and chosen here: 64 channels, 3×3 kernels, no batch normalization (removed by Lim et al.,
    whom the paper follows), a convolution after the last block, whose output is added to the shallow features, a ReLU
    in each sub-pixel step.

    Auxiliary tasks of section 2.1 share `features` in training only, see `training.losses.attributes`. The fusion
    network of section 4.1, which combines the outputs of a CNN and a GAN model, is left out: the paper gives neither
    its layers nor its loss, and at run time it needs both models, twice the multiply-adds.

    Args:
        depth: residual blocks (paper: 16).
        width: channels.
        scale: 2, 3, 4 or 8 (paper: 4 and 8).
        bicubic_skip: add the bicubic image to the output; not in the paper.
    """

    max_crop = 64
    """Largest side of a crop; attention over all pairs of positions limits it."""

    def __init__(self, depth: int = 16, width: int = 64, scale: int = 4, bicubic_skip: bool = True) -> None:
        super().__init__()
        check_sizes(depth=depth, width=width)
        self.scale = scale
        self.bicubic_skip = bicubic_skip
        self.head = nn.Conv2d(3, width, 3, padding=1)  # equation 4
        blocks = [AttentionBlock(width) for _ in range(depth)]
        self.blocks = nn.Sequential(*blocks, nn.Conv2d(width, width, 3, padding=1))  # equation 5
        self.upsampling = sub_pixel(width, scale)  # equation 6
        self.tail = nn.Conv2d(width, 3, 3, padding=1)  # equation 7
        init_residual(self, [*(block.second for block in blocks), self.tail])

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), RGB in [0, 1] -> (N, 3, scale·H, scale·W), RGB near [0, 1], not clipped."""
        return self.reconstruct(self.features(x), x)

    def features(self, x: Tensor) -> Tensor:
        """Deep features of equation 5: (N, 3, H, W) -> (N, width, H, W)."""
        shallow: Tensor = self.head(x)
        deep: Tensor = shallow + self.blocks(shallow)
        return deep

    def reconstruct(self, features: Tensor, x: Tensor) -> Tensor:
        """`forward` from `features` (N, width, H, W) of x."""
        residual: Tensor = self.tail(self.upsampling(features))
        return residual + enlarge(x, self.scale) if self.bicubic_skip else residual
