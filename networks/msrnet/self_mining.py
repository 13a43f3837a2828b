"""Stage 2 of MSRNet, self-mining: upscale ×2 with detail from other positions of the same face.

Source: the MSRNet paper, section II.B, figure 2 and equation 8.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.resample import enlarge
from ..layers.sub_pixel import sub_pixel
from .features import ResidualBlock
from .fusion import CrossScaleFusion
from .swin import GlobalFeatures


def cosine_attention(queries: Tensor, keys: Tensor, values: Tensor, sharpness: Tensor) -> Tensor:
    """Equation 8: mean of all values, weighted by a softmax over the cosine similarities of queries and keys.

    Args:
        queries: (N, D, H, W).
        keys: (N, D, H', W').
        values: (N, V, H', W').
        sharpness: scalar factor of the cosine similarity.

    Returns:
        (N, V, H, W), dtype of the values.
    """
    n, _, height, width = queries.shape
    query = F.normalize(queries.float().flatten(2), dim=1).transpose(1, 2)  # (N, L, D)
    key = F.normalize(keys.float().flatten(2), dim=1)  # (N, D, L')
    weights = torch.softmax(sharpness.float() * (query @ key), -1).to(values.dtype)  # (N, L, L')
    return (weights @ values.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(n, -1, height, width)


class SelfMining(nn.Module):
    """LG-CS², attention between local and global features across scales, for one pair of scales.

    Not specified by the paper and chosen here: φ is the cosine similarity of 1×1 projections, times a trained
    sharpness; the values are patches of 2×2 of the local features one scale finer, so that their detail is used;
    upsampling ×2 is a sub-pixel step.

    Args:
        coarse: channels of the local features used as keys.
        fine: channels of the local features used as values, of twice the side.
        global_channels: channels of the global features, of the size of the values.
        width: channels of queries and keys.
    """

    def __init__(self, coarse: int, fine: int, global_channels: int, width: int = 16) -> None:
        super().__init__()
        self.query = nn.Conv2d(global_channels, width, 2, 2)
        self.key = nn.Conv2d(coarse, width, 1)
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.narrow = nn.Conv2d(global_channels, fine, 1)
        self.double_seen = sub_pixel(fine, 2, nn.Identity)
        self.double_mined = sub_pixel(fine, 2, nn.Identity)

    def forward(self, global_features: Tensor, coarse: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        """Attend from the global to the local features.

        Args:
            global_features: (N, E, 2H, 2W).
            coarse: (N, C, H, W) local features.
            fine: (N, D, 2H, 2W) local features, one scale finer.

        Returns:
            (N, D, 4H, 4W) upsampled global features, and upsampled mined features.
        """
        mined = cosine_attention(
            self.query(global_features), self.key(coarse), F.pixel_unshuffle(fine, 2), self.sharpness
        )
        upsampled = self.double_mined(F.pixel_shuffle(mined, 2))
        return self.double_seen(self.narrow(global_features)), upsampled


class SelfDoubling(nn.Module):
    """Stage 2: global features of the stage 1 output, self-mining at two scales, cross-scale fusion.

    Args:
        widths: channels of the local features at s = 1, 2, 4.
        global_channels: channels of the global features; twice as many at half the side.
    """

    def __init__(self, widths: Sequence[int], global_channels: int) -> None:
        super().__init__()
        one, two, four = widths
        self.seen = GlobalFeatures(global_channels)
        self.whole = SelfMining(two, one, global_channels)
        self.halved = SelfMining(four, two, 2 * global_channels)
        self.fusion = CrossScaleFusion(two, one)
        self.after = ResidualBlock(one)
        self.tail = nn.Conv2d(one, 3, 3, padding=1)

    def forward(self, first: Tensor, features: Sequence[Tensor], skip: bool) -> Tensor:
        """Upscale ×2.

        Args:
            first: (N, 3, H, W) output of stage 1.
            features: local features of the face at s = 1, 2, 4: (N, C, H / s, W / s).
            skip: add the bicubic upsampling of the stage 1 output.

        Returns:
            (N, 3, 2H, 2W).
        """
        one, two, four = features
        whole, halved = self.seen(first)
        hi, reference = self.whole(whole, two, one)  # (N, C1, 2H, 2W) each
        low, mined = self.halved(halved, four, two)  # (N, C2, H, W) each
        residual: Tensor = self.tail(self.after(self.fusion(hi, low + mined, reference)))
        return residual + enlarge(first, 2) if skip else residual
