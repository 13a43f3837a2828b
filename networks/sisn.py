"""SISN, split-attention in split-attention network: groups with separate paths for texture and structure.

Source: the SISN paper ("split-attention in split-attention network"), section 3, equations 1 to 10.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers.resample import enlarge
from .layers.sub_pixel import check_sizes, init_residual, sub_pixel

SPLITS = 2
"""r of equations 6 and 7; the paper does not give it."""


class SplitAttention(nn.Module):
    """ISA, internal-feature split attention: equations 6 and 7.

    A 3×3 convolution widens the input first: the sum of equation 7 has 1/r of the channels that are split. Deviation: a
    ReLU between the two 1×1 convolutions; the paper mentions none, which would make them one linear map. Their inner
    width is chosen, half of the channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = max(8, width // 2)
        self.widen = nn.Conv2d(width, SPLITS * width, 3, padding=1)
        self.squeeze = nn.Conv2d(width, narrow, 1)
        self.excite = nn.Conv2d(narrow, SPLITS * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        first, second = self.widen(x).chunk(SPLITS, dim=1)
        pooled = (first + second).mean((2, 3), keepdim=True)  # (N, C, 1, 1), equation 6
        logits = self.excite(F.relu(self.squeeze(pooled)))  # (N, rC, 1, 1)
        # The softmax over two splits is a sigmoid of the difference of their logits.
        weight = torch.sigmoid(logits[:, : x.shape[1]] - logits[:, x.shape[1] :])  # (N, C, 1, 1)
        result: Tensor = second + weight * (first - second)  # equation 7
        return result


class SplitAttentionBlock(nn.Module):
    """ISAB: residual block of a 3×3 convolution, ReLU and split attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, width, 3, padding=1)
        self.attention = SplitAttention(width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        result: Tensor = x + self.attention(F.relu(self.convolution(x)))
        return result


class SplitAttentionGroup(nn.Module):
    """ESAG: blocks and a convolution for texture, split attention alone for structure, summed (equations 8 to 10)."""

    def __init__(self, blocks: int, width: int) -> None:
        super().__init__()
        self.gather = nn.Conv2d(width, width, 3, padding=1)
        self.texture = nn.Sequential(*(SplitAttentionBlock(width) for _ in range(blocks)))
        self.structure = SplitAttention(width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        result: Tensor = self.gather(self.texture(x)) + self.structure(x)
        return result


class SISN(nn.Module):
    """Coarse features, groups of split attention, sub-pixel steps, reconstruction: equations 1 to 4.

    Not specified by the paper and chosen here: 64 channels, r = 2, a ReLU in each sub-pixel step; coarse features are
    added to the deep ones before upsampling. The network pools over the whole crop, so a pixel's result depends
    slightly on the size of the crop.

    Args:
        groups: ESAGs (paper: 10).
        blocks: ISABs per group (paper: 10).
        width: channels.
        scale: 2, 3, 4 or 8 (paper: 4 and 8).
        bicubic_skip: add the bicubic image to the output; not in the paper.
    """

    def __init__(
        self, groups: int = 10, blocks: int = 10, width: int = 64, scale: int = 4, bicubic_skip: bool = True
    ) -> None:
        super().__init__()
        check_sizes(groups=groups, blocks=blocks, width=width)
        self.scale = scale
        self.bicubic_skip = bicubic_skip
        self.head = nn.Conv2d(3, width, 3, padding=1)  # equation 1
        deep = [SplitAttentionGroup(blocks, width) for _ in range(groups)]
        self.groups = nn.Sequential(*deep)  # equation 2
        self.upsampling = sub_pixel(width, scale)  # equation 3
        self.tail = nn.Conv2d(width, 3, 3, padding=1)  # equation 4
        attentions = [module.widen for module in self.modules() if isinstance(module, SplitAttention)]
        init_residual(self, [*attentions, self.tail])
        for group in deep:  # no ReLU follows, and the outputs of ten groups would grow
            group.gather.weight.data.mul_(0.7)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), RGB in [0, 1] -> (N, 3, scale·H, scale·W), RGB near [0, 1], not clipped."""
        coarse = self.head(x)
        residual: Tensor = self.tail(self.upsampling(coarse + self.groups(coarse)))
        return residual + enlarge(x, self.scale) if self.bicubic_skip else residual
