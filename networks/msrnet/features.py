"""LFE, local feature extractor; shared by the face and its references, so that their features are comparable.

Source: the MSRNet paper, section II.B.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """Residual block of two 3×3 convolutions with ReLU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        result: Tensor = x + self.second(F.relu(self.first(x)))
        return result


def residual_blocks(number: int, width: int) -> nn.Sequential:
    """A stack of residual blocks; the identity for 0."""
    return nn.Sequential(*(ResidualBlock(width) for _ in range(number)))


class LocalFeatures(nn.Module):
    """Residual blocks at scales s = 1, 2, 4; each but the first starts with a convolution of stride 2.

    Args:
        widths: channels at s = 1, 2, 4.
        blocks: residual blocks per scale.
    """

    def __init__(self, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        inputs = (3, *widths[:-1])
        self.sets = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c_in, width, 3, stride, 1), residual_blocks(blocks, width))
            for c_in, width, stride in zip(inputs, widths, (1, 2, 2), strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> (N, C1, H, W), (N, C2, H / 2, W / 2), (N, C4, H / 4, W / 4)."""
        features = []
        for layers in self.sets:
            x = layers(x)
            features.append(x)
        return features
