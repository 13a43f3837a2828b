"""Face detector: depthwise separable convolutions, anchor-free, strides 8, 16 and 32, five landmarks.

Source: output layout and decoding are those of YuNet ("YuNet: a tiny millisecond-level face detector", 2023); the
backbone differs, with fewer multiply-adds at the fine strides, where a 1080p frame costs most.
"""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)
"""Side in pixels of the cells of each output map, in the order in which the maps are concatenated."""
SIZE_LIMIT = 4.0
"""Limit of log(width / stride) and log(height / stride): `exp` gives 0.15 to 1,750 pixels, which FP16 can represent."""
CELLS = 4.0
"""Side in cells of the faces that a stride is assigned to; the initial boxes have this size."""


class Block(nn.Module):
    """Depthwise 3×3 and pointwise convolution, batch normalization, ReLU; residual where the shapes allow.

    With normalization and ReLU between the two convolutions the loss after 300 steps was 6.35 instead of 4.51, and a
    step took a sixth longer.
    """

    def __init__(self, c_in: int, c_out: int, stride: int = 1) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(c_in, c_in, 3, stride, 1, groups=c_in, bias=False)
        self.mix = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.norm = nn.BatchNorm2d(c_out)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, H, W) -> (N, c_out, H/stride, W/stride)."""
        y = self.norm(self.mix(self.spatial(x)))
        return F.relu(x + y if self.residual else y, inplace=True)


class Detector(nn.Module):
    """Detector of faces of about 6 to 200 pixels.

    Args:
        width: channels from stride 8 on; the stem has a quarter of it, stride 4 three quarters. With a multiple of 32
            all are multiples of 8, which runtimes lay out without padding.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        if width < 8 or width % 4:
            raise ValueError(f"width must be a multiple of 4 and 8 or more, not {width}")
        stem, fine = width // 4, 3 * width // 4
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, 2, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU())
        self.quarter = nn.Sequential(Block(stem, fine, 2), Block(fine, fine))
        self.stages = nn.ModuleList(  # strides 8, 16, 32
            nn.Sequential(Block(c_in, width, 2), *(Block(width, width) for _ in range(3)))
            for c_in in (fine, width, width)
        )
        self.merges = nn.ModuleList(Block(width, width) for _ in STRIDES)
        self.heads = nn.ModuleList(nn.Sequential(Block(width, width), nn.Conv2d(width, 15, 1)) for _ in STRIDES)
        self._init_heads()

    def _init_heads(self) -> None:
        """Initial outputs: score 1 %, boxes of `CELLS` cells around the center of their cell."""
        logit, size = -math.log(99), math.log(CELLS)
        for head in self.heads:
            last = head[1]  # type: ignore[index]  # ModuleList is untyped
            nn.init.normal_(last.weight, std=0.01)
            last.bias.data.copy_(torch.tensor([logit, 0.5, 0.5, size, size, *[0.5] * 10]))

    def forward(self, x: Tensor) -> Tensor:
        """Predict a score, a box and landmarks for every cell of every stride.

        Args:
            x: (N, 3, H, W), RGB in [0, 1]; H and W multiples of 32.

        Returns:
            (N, A, 15), A = HW/64 + HW/256 + HW/1024, strides 8, 16, 32 concatenated, each in row-major order.
            Channels: score logit; box dx, dy, log width, log height; dx, dy of five landmarks. See `decode`.
        """
        feature = self.quarter(self.stem(x))
        levels: list[Tensor] = []
        for stage in self.stages:
            feature = stage(feature)
            levels.append(feature)
        maps: list[Tensor] = []
        coarser: Tensor | None = None
        for level, merge, head in zip(reversed(levels), reversed(self.merges), reversed(self.heads), strict=True):
            coarser = merge(
                level if coarser is None else level + F.interpolate(coarser, scale_factor=2.0, mode="nearest")
            )
            maps.insert(0, head(coarser).flatten(2))  # (N, 15, HW/stride²)
        rows = torch.cat(maps, 2).transpose(1, 2)  # (N, A, 15)
        return torch.cat((rows[..., :3], rows[..., 3:5].clamp(-SIZE_LIMIT, SIZE_LIMIT), rows[..., 5:]), -1)


class PixelStem(nn.Module):
    """First convolution, 3×3 with stride 2, on interleaved pixels: (N, H, W, 3), BGR, 0..255.

    A row of W pixels is a row of 3·W values, and three adjacent pixels are nine of them: a 3×9 kernel with stride (2,
    6) replaces the flip, division and transposition before the convolution, which took a seventh of the detector's time
    at 1080p.

    Args:
        convolution: original convolution on RGB in [0, 1], without bias.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        weight = convolution.weight.detach().flip(1) / 255  # (C, 3, 3, 3): BGR, row, column
        self.weight = nn.Parameter(weight.permute(0, 2, 3, 1).reshape(-1, 1, 3, 9).contiguous())

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, H, W, 3) -> (N, C, H/2, W/2)."""
        return F.conv2d(pixels.flatten(2)[:, None], self.weight, stride=(2, 6), padding=(1, 3))


def on_pixels(network: Detector) -> Detector:
    """A copy with interleaved pixels as input, (N, H, W, 3) BGR in 0..255; see `PixelStem`."""
    copy = deepcopy(network)
    copy.stem[0] = PixelStem(network.stem[0])  # type: ignore[arg-type]  # Sequential is untyped
    return copy


def grid(height: int, width: int) -> Tensor:
    """(A, 3) float column, row and stride of every cell, in the order of the network's output."""
    parts = []
    for stride in STRIDES:
        row, column = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        parts.append(torch.stack((column, row, torch.full_like(row, stride)), -1).reshape(-1, 3))
    return torch.cat(parts).float()


def decode(maps: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Decode output rows to boxes and landmarks.

    Args:
        maps: (..., 15) rows of the network's output.
        cells: (..., 3) columns, rows and strides, see `grid`.

    Returns:
        (..., 4) boxes as x1, y1, x2, y2 and (..., 10) landmarks as x, y five times, in pixels of the network's input.
    """
    corner, stride = cells[..., :2], cells[..., 2:]
    center = (corner + maps[..., 1:3]) * stride
    half = maps[..., 3:5].exp() * stride / 2
    points = (maps[..., 5:] + torch.cat((corner,) * 5, -1)) * stride
    return torch.cat((center - half, center + half), -1), points
