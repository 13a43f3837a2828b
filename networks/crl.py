"""CRL, combined representation learning: a residual generator whose blocks attend to the whole face.

Source: the CRL paper ("combined representation learning"), sections 3.1 and 3.4, equations 4 to 7 and 13 to 16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers.resample import enlarge
from .layers.sub_pixel import check_sizes, init_residual, sub_pixel


class Attention(nn.Module):
    """Each position looks at all others: equations 13 to 16. γ starts at 0, so a fresh module hands on its input.

    The paper gives no width of f and g: an eighth of the channels, as in self-attention networks before it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = max(1, width // 8)
        self.f = nn.Conv2d(width, narrow, 1)
        self.g = nn.Conv2d(width, narrow, 1)
        self.h = nn.Conv2d(width, width, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W); takes (H·W)² numbers a picture."""
        f, g, h = (layer(x).flatten(2).transpose(1, 2) for layer in (self.f, self.g, self.h))  # (N, L, c), c, C
        weights = torch.softmax(g @ f.transpose(1, 2), dim=-1)  # (N, Lj, Li), equation 13
        seen = (weights @ h).transpose(1, 2).reshape(x.shape)  # equation 14
        result: Tensor = self.gamma * seen + x  # equation 16
        return result


class AttentionBlock(nn.Module):
    """Two 3×3 convolutions, ReLU between them, attention after the second (figure 1a)."""

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
    """The generative network of section 3.1.

    Where the paper is silent, chosen here: 64 channels, 3×3 kernels, no batch normalisation (Lim et al., whom it
    follows, left it out), a convolution after the last block and the sum with the shallow features.

    Args:
        depth: residual blocks (paper: 16).
        width: channels.
        scale: 2, 3, 4 or 8 (paper: 4 and 8).
        bicubic_skip: add the enlarged input to the output; the paper has no such skip.
    """

    windows = (32, 48, 64)
    """Sides of the crops that attention over all pairs of positions can afford."""

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
        shallow = self.head(x)
        residual: Tensor = self.tail(self.upsampling(shallow + self.blocks(shallow)))
        return residual + enlarge(x, self.scale) if self.bicubic_skip else residual
