"""A small face detector: depthwise separable, anchor-free, strides 8, 16 and 32, five landmarks.

Source: the layout of the outputs and their decoding are YuNet's ("YuNet: a tiny millisecond-level face detector",
2023); the body is our own and spends fewer multiply-adds at the fine strides, where a 1080p frame costs most.
"""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)
"""Pixels a cell of each output map covers, in the order in which the maps are laid end to end."""
SIZE_LIMIT = 4.0
"""Bound of log(width / stride) and log(height / stride): `exp` stays within 0.15 to 1,750 pixels, in FP16 too."""
CELLS = 4.0
"""A face of this many cells a side is what a stride is meant for; heads start from that size."""


class Block(nn.Module):
    """Depthwise 3×3, then pointwise convolution, batch normalisation and ReLU; adds its input where shapes allow.

    With a normalisation and a ReLU between the two convolutions the loss after 300 steps was 6.35 instead of 4.51, and
    a step took a sixth longer.
    """

    def __init__(self, inner: int, outer: int, stride: int = 1) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False)
        self.mix = nn.Conv2d(inner, outer, 1, bias=False)
        self.norm = nn.BatchNorm2d(outer)
        self.residual = stride == 1 and inner == outer

    def forward(self, x: Tensor) -> Tensor:
        """(N, inner, H, W) -> (N, outer, H/stride, W/stride)."""
        y = self.norm(self.mix(self.spatial(x)))
        return F.relu(x + y if self.residual else y, inplace=True)


class Detector(nn.Module):
    """Finds faces of about 6 to 200 pixels.

    Args:
        width: channels from stride 8 on; a quarter of it in the stem, three quarters at stride 4. Multiples of 8 in all
            of them, so a width that is a multiple of 32, are what runtimes lay out without padding.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        if width < 8 or width % 4:
            raise ValueError(f"Detector needs a width that is a multiple of 4, 8 or more, not {width}")
        stem, fine = width // 4, 3 * width // 4
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, 2, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU())
        self.quarter = nn.Sequential(Block(stem, fine, 2), Block(fine, fine))
        self.stages = nn.ModuleList(  # strides 8, 16, 32
            nn.Sequential(Block(inner, width, 2), *(Block(width, width) for _ in range(3)))
            for inner in (fine, width, width)
        )
        self.merges = nn.ModuleList(Block(width, width) for _ in STRIDES)
        self.heads = nn.ModuleList(nn.Sequential(Block(width, width), nn.Conv2d(width, 15, 1)) for _ in STRIDES)
        self._initialise()

    def _initialise(self) -> None:
        """Start with no face anywhere (1 %), boxes of `CELLS` cells round the middle of their cell."""
        rare, size = -math.log(99), math.log(CELLS)
        for head in self.heads:
            last = head[1]  # type: ignore[index]  # a ModuleList forgets what is in it
            nn.init.normal_(last.weight, std=0.01)
            last.bias.data.copy_(torch.tensor([rare, 0.5, 0.5, size, size, *[0.5] * 10]))

    def forward(self, x: Tensor) -> Tensor:
        """Look for faces at every cell of every stride.

        Args:
            x: (N, 3, H, W), RGB in [0, 1]; H and W multiples of 32.

        Returns:
            (N, A, 15), A = HW/64 + HW/256 + HW/1024, strides 8, 16, 32 one after another, rows then columns in each.
            Channels: score logit; box dx, dy, log width, log height; dx, dy of five landmarks. See `decode`.
        """
        feature = self.quarter(self.stem(x))
        levels: list[Tensor] = []
        for stage in self.stages:
            feature = stage(feature)
            levels.append(feature)
        maps: list[Tensor] = []
        above: Tensor | None = None
        for level, merge, head in zip(reversed(levels), reversed(self.merges), reversed(self.heads), strict=True):
            above = merge(level if above is None else level + F.interpolate(above, scale_factor=2.0, mode="nearest"))
            maps.insert(0, head(above).flatten(2))  # (N, 15, HW/stride²)
        rows = torch.cat(maps, 2).transpose(1, 2)  # (N, A, 15)
        return torch.cat((rows[..., :3], rows[..., 3:5].clamp(-SIZE_LIMIT, SIZE_LIMIT), rows[..., 5:]), -1)


class PixelStem(nn.Module):
    """A first convolution, 3×3 with stride 2, on pixels as they lie in memory: (N, H, W, 3), BGR, 0..255.

    A row of W pixels is a row of 3·W numbers, and three pixels side by side are nine of them: so the same weights,
    laid out as 3×9 with stride (2, 6), do what a flip, a division and a transposition before it would, which took a
    seventh of the detector's time at 1080p.

    Args:
        convolution: 3 channels in, RGB in [0, 1], without bias.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        weight = convolution.weight.detach().flip(1) / 255  # (C, 3, 3, 3): BGR, row, column
        self.weight = nn.Parameter(weight.permute(0, 2, 3, 1).reshape(-1, 1, 3, 9).contiguous())

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, H, W, 3) -> (N, C, H/2, W/2)."""
        return F.conv2d(pixels.flatten(2)[:, None], self.weight, stride=(2, 6), padding=(1, 3))


def on_pixels(network: Detector) -> Detector:
    """A copy that takes pixels as they lie in memory, (N, H, W, 3) BGR in 0..255; see `PixelStem`."""
    copy = deepcopy(network)
    copy.stem[0] = PixelStem(network.stem[0])  # type: ignore[arg-type]  # a Sequential forgets what is in it
    return copy


def grid(height: int, width: int) -> Tensor:
    """Column, row and stride of every cell, in the order of the network's output: (A, 3) float."""
    parts = []
    for stride in STRIDES:
        row, column = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        parts.append(torch.stack((column, row, torch.full_like(row, stride)), -1).reshape(-1, 3))
    return torch.cat(parts).float()


def decode(maps: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes and landmarks of cells.

    Args:
        maps: (..., 15) rows of the network's output.
        cells: (..., 3) their columns, rows and strides, of `grid`.

    Returns:
        (..., 4) boxes as x1, y1, x2, y2 and (..., 10) landmarks as x, y five times, in pixels of the network's input.
    """
    corner, stride = cells[..., :2], cells[..., 2:]
    centre = (corner + maps[..., 1:3]) * stride
    half = maps[..., 3:5].exp() * stride / 2
    points = (maps[..., 5:] + torch.cat((corner,) * 5, -1)) * stride
    return torch.cat((centre - half, centre + half), -1), points
