"""LFE, the local feature extractor: one for the face and for its references, so that their features compare.

Source: the MSRNet paper, section II.B.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions, ReLU between them, and the input added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        result: Tensor = x + self.second(F.relu(self.first(x)))
        return result


def residual_blocks(number: int, width: int) -> nn.Sequential:
    """Blocks in a row; none hands on its input."""
    return nn.Sequential(*(ResidualBlock(width) for _ in range(number)))


class LocalFeatures(nn.Module):
    """Three sets of residual blocks at scales s = 1, 2, 4, each but the first behind a convolution of stride 2.

    Args:
        widths: channels at s = 1, 2, 4.
        blocks: residual blocks a set.
    """

    def __init__(self, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        before = (3, *widths[:-1])
        self.sets = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, width, 3, stride, 1), residual_blocks(blocks, width))
            for c, width, stride in zip(before, widths, (1, 2, 2), strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> (N, C1, H, W), (N, C2, H / 2, W / 2), (N, C4, H / 4, W / 4)."""
        features = []
        for layers in self.sets:
            x = layers(x)
            features.append(x)
        return features
