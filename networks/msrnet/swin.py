"""Swin transformer blocks: attention within windows, which every other block shifts by half their side.

Source: Z. Liu et al., "Swin transformer: hierarchical vision transformer using shifted windows", 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

OUTSIDE = -1e4
"""Added to the score of two positions that lie in one shifted window but not beside each other in the picture."""


class WindowAttention(nn.Module):
    """Each position looks at those of its window, with a learnt bias for how they lie to each other.

    Args:
        width: channels, a multiple of the heads.
        heads: of the attention.
        window: side of the windows in positions.
        shift: by how much they are shifted; 0 for not.
    """

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.mixed = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H, W, C); H and W are multiples of the window's side."""
        n, height, width, channels = x.shape
        side = self.window
        rows, columns, size = height // side, width // side, side * side
        if self.shift:
            x = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        parts = x.reshape(n, rows, side, columns, side, channels).transpose(2, 3)
        parts = self.mixed(parts.reshape(n, rows * columns, size, channels))  # (N, K, S, 3C)
        parts = parts.reshape(n, rows * columns, size, 3, self.heads, channels // self.heads)
        query, key, value = parts.permute(3, 0, 1, 4, 2, 5).unbind(0)  # (N, K, heads, S, C / heads)
        scores = (query * (channels // self.heads) ** -0.5) @ key.transpose(3, 4)  # (N, K, heads, S, S)
        scores = scores + self.bias[_beside(side, x.device)].permute(2, 0, 1)
        if self.shift:
            scores = scores + _apart(height, width, side, self.shift, x.device).to(scores.dtype)[:, None]
        seen = (torch.softmax(scores, -1) @ value).transpose(2, 3)
        out: Tensor = self.out(seen.reshape(n, rows, columns, side, side, channels))
        out = out.transpose(2, 3).reshape(n, height, width, channels)
        return torch.roll(out, (self.shift, self.shift), (1, 2)) if self.shift else out


class SwinBlock(nn.Module):
    """Attention in windows and two linear layers, a normalisation before and the input added to each.

    Args: see `WindowAttention`.
    """

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        seeing = WindowAttention(width, heads, window, shift)
        self.attention = nn.Sequential(nn.LayerNorm(width), seeing)
        widen, narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.linear = nn.Sequential(nn.LayerNorm(width), widen, nn.GELU(), narrow)
        self.damped = (seeing.out, narrow)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H, W, C)."""
        x = x + self.attention(x)
        result: Tensor = x + self.linear(x)
        return result


class GlobalFeatures(nn.Module):
    """GFE: two Swin blocks on the whole map, two on the map of half the side.

    Args:
        width: channels of the first; the second has twice as many.
        window: side of the windows in positions.
    """

    def __init__(self, width: int, window: int = 8) -> None:
        super().__init__()
        heads = max(1, width // 16)
        self.embed = nn.Conv2d(3, width, 3, padding=1)
        self.whole = nn.Sequential(*(SwinBlock(width, heads, window, shift) for shift in (0, window // 2)))
        self.merge = nn.Conv2d(width, 2 * width, 2, 2)
        self.halved = nn.Sequential(*(SwinBlock(2 * width, 2 * heads, window, shift) for shift in (0, window // 2)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> (N, C, H, W), (N, 2C, H / 2, W / 2)."""
        whole = self.whole(self.embed(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        halved = self.halved(self.merge(whole).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return whole, halved


def _beside(side: int, device: torch.device) -> Tensor:
    """(S, S) rows of the bias: one for each way that two positions of a window can lie to each other."""
    place = torch.arange(side, device=device)
    away = place[:, None] - place + side - 1  # (side, side)
    pairs = away[:, None, :, None] * (2 * side - 1) + away[None, :, None, :]
    return pairs.reshape(side * side, side * side)


def _apart(height: int, width: int, side: int, shift: int, device: torch.device) -> Tensor:
    """(K, S, S) `OUTSIDE` where two positions of a shifted window come from opposite edges of the map, else 0."""

    def region(length: int) -> Tensor:
        place = torch.arange(length, device=device)
        return (place >= length - side).long() + (place >= length - shift).long()

    regions = region(height)[:, None] * 3 + region(width)
    parts = regions.reshape(height // side, side, width // side, side).transpose(1, 2).reshape(-1, side * side)
    return OUTSIDE * (parts[:, :, None] != parts[:, None, :]).float()


def init_swin(network: nn.Module) -> None:
    """Small random weights of linear layers, as transformers start; the last of each branch starts at a tenth."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
            nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, SwinBlock):
            for last in module.damped:
                last.weight.data.mul_(0.1)
