"""Swin transformer blocks: attention within windows, shifted by half their side in every second block.

Source: Z. Liu et al., "Swin transformer: hierarchical vision transformer using shifted windows", 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

OUTSIDE = -1e4
"""Added to the scores of positions of a shifted window that are not adjacent in the image."""


class WindowAttention(nn.Module):
    """Self-attention within windows with a relative position bias.

    Args:
        width: channels, a multiple of the heads.
        heads: attention heads.
        window: side of the windows in positions.
        shift: shift of the windows in positions; 0 for none.
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
        scores = scores + self.bias[_relative_positions(side, x.device)].permute(2, 0, 1)
        if self.shift:
            scores = scores + _shift_mask(height, width, side, self.shift, x.device).to(scores.dtype)[:, None]
        attended = (torch.softmax(scores, -1) @ value).transpose(2, 3)
        out: Tensor = self.out(attended.reshape(n, rows, columns, side, side, channels))
        out = out.transpose(2, 3).reshape(n, height, width, channels)
        return torch.roll(out, (self.shift, self.shift), (1, 2)) if self.shift else out


class SwinBlock(nn.Module):
    """Pre-norm residual block of window attention and a two-layer MLP; arguments as for `WindowAttention`."""

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        attention = WindowAttention(width, heads, window, shift)
        self.attention = nn.Sequential(nn.LayerNorm(width), attention)
        widen, narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.linear = nn.Sequential(nn.LayerNorm(width), widen, nn.GELU(), narrow)
        self.branch_ends = (attention.out, narrow)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H, W, C)."""
        x = x + self.attention(x)
        result: Tensor = x + self.linear(x)
        return result


class GlobalFeatures(nn.Module):
    """GFE, global feature extractor: two Swin blocks at full size, two at half the side.

    Args:
        width: channels at full size; twice as many at half the side.
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


def _relative_positions(side: int, device: torch.device) -> Tensor:
    """(S, S) rows of the bias table, one per relative position of two positions of a window."""
    position = torch.arange(side, device=device)
    offset = position[:, None] - position + side - 1  # (side, side)
    pairs = offset[:, None, :, None] * (2 * side - 1) + offset[None, :, None, :]
    return pairs.reshape(side * side, side * side)


def _shift_mask(height: int, width: int, side: int, shift: int, device: torch.device) -> Tensor:
    """(K, S, S) `OUTSIDE` where two positions of a shifted window come from opposite borders of the map, else 0."""

    def region(length: int) -> Tensor:
        position = torch.arange(length, device=device)
        return (position >= length - side).long() + (position >= length - shift).long()

    regions = region(height)[:, None] * 3 + region(width)
    parts = regions.reshape(height // side, side, width // side, side).transpose(1, 2).reshape(-1, side * side)
    return OUTSIDE * (parts[:, :, None] != parts[:, None, :]).float()


def init_swin(network: nn.Module) -> None:
    """Truncated normal initialization of linear layers; the last of each residual branch is scaled to a tenth."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
            nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, SwinBlock):
            for last in module.branch_ends:
                last.weight.data.mul_(0.1)
