"""Stage 2 of MSRNet, internal mining: a face is doubled with detail that other places of its own have.

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


def attended(queries: Tensor, keys: Tensor, values: Tensor, sharpness: Tensor) -> Tensor:
    """Equation 8 of the MSRNet paper: a mean of all values, weighted by how alike their keys are.

    Args:
        queries: (N, D, H, W).
        keys: (N, D, H', W').
        values: (N, V, H', W').
        sharpness: scalar, what the cosine of both is multiplied by.

    Returns:
        (N, V, H, W), of the values' dtype.
    """
    n, _, height, width = queries.shape
    query = F.normalize(queries.float().flatten(2), dim=1).transpose(1, 2)  # (N, L, D)
    key = F.normalize(keys.float().flatten(2), dim=1)  # (N, D, L')
    weights = torch.softmax(sharpness.float() * (query @ key), -1).to(values.dtype)  # (N, L, L')
    return (weights @ values.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(n, -1, height, width)


class SelfMining(nn.Module):
    """LG-CS², local and global features across scales and spaces, for one pair of them.

    Where the paper is silent, chosen here: φ is the cosine of 1×1 projections, times a sharpness that is learnt; what a
    weight is given to is a patch of 2×2 of the local features one scale finer, so that their detail is what is mined;
    the enlargement to twice the size is a sub-pixel step.

    Args:
        coarse: channels of the local features that are compared.
        fine: channels of those that are mined, of twice the side.
        seeing: channels of the global features, as large as those that are mined.
        width: channels that both are compared by.
    """

    def __init__(self, coarse: int, fine: int, seeing: int, width: int = 16) -> None:
        super().__init__()
        self.query = nn.Conv2d(seeing, width, 2, 2)
        self.key = nn.Conv2d(coarse, width, 1)
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.narrow = nn.Conv2d(seeing, fine, 1)
        self.double_seen = sub_pixel(fine, 2, nn.Identity)
        self.double_mined = sub_pixel(fine, 2, nn.Identity)

    def forward(self, seen: Tensor, coarse: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        """Mine.

        Args:
            seen: (N, E, 2H, 2W) global features.
            coarse: (N, C, H, W) local features.
            fine: (N, D, 2H, 2W) local features, one scale finer.

        Returns:
            (N, D, 4H, 4W) the global features doubled, and the mined ones doubled.
        """
        mined = attended(self.query(seen), self.key(coarse), F.pixel_unshuffle(fine, 2), self.sharpness)
        doubled = self.double_mined(F.pixel_shuffle(mined, 2))
        return self.double_seen(self.narrow(seen)), doubled


class SelfDoubling(nn.Module):
    """Stage 2: global features of the first result, mining at two scales, cross-scale fusion.

    Args:
        widths: channels of the local features at s = 1, 2, 4.
        seeing: channels of the global features; twice as many at half the side.
    """

    def __init__(self, widths: Sequence[int], seeing: int) -> None:
        super().__init__()
        one, two, four = widths
        self.seen = GlobalFeatures(seeing)
        self.whole = SelfMining(two, one, seeing)
        self.halved = SelfMining(four, two, 2 * seeing)
        self.fusion = CrossScaleFusion(two, one)
        self.after = ResidualBlock(one)
        self.tail = nn.Conv2d(one, 3, 3, padding=1)

    def forward(self, first: Tensor, features: Sequence[Tensor], skip: bool) -> Tensor:
        """Double.

        Args:
            first: (N, 3, H, W) what stage 1 gave.
            features: local features of the face at s = 1, 2, 4: (N, C, H / s, W / s).
            skip: add the doubled first result.

        Returns:
            (N, 3, 2H, 2W).
        """
        one, two, four = features
        whole, halved = self.seen(first)
        hi, reference = self.whole(whole, two, one)  # (N, C1, 2H, 2W) each
        low, mined = self.halved(halved, four, two)  # (N, C2, H, W) each
        residual: Tensor = self.tail(self.after(self.fusion(hi, low + mined, reference)))
        return residual + enlarge(first, 2) if skip else residual
