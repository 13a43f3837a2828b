"""Face detector: depthwise separable convolutions, anchor-free, strides 8, 16 and 32, five landmarks.

Source: output layout and decoding are those of YuNet ("YuNet: a tiny millisecond-level face detector", 2023); the
backbone differs, with fewer multiply-adds at the fine strides, where a 1080p frame costs most.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)
"""Side in pixels of the cells of each output map, in the order in which the maps are concatenated."""
SIZE_LIMIT = 4.0
"""Limit of log(width / stride) and log(height / stride): `exp` gives 0.15 to 1,750 pixels, which FP16 can represent."""
BOX_CHANNELS, LANDMARK_CHANNELS = 5, 10
"""Output channels of a cell: score and box, and x, y of five landmarks."""
LAST_LAYER = re.compile(r"heads\.(?P<level>\d+)\.1\.(?P<part>weight|bias)")
"""Names of the tensors of a box head's last layer."""
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


class LandmarkBranch(nn.Module):
    """Landmark offsets at strides 16 and 32 from the features of stride 8; zero at first.

    The features of a stride are too coarse for landmarks: trained on them alone, heads of one to three layers have the
    same error.

    Args:
        width: channels of the features.
        inner: channels of the branch.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        first = nn.Sequential(Block(width, inner, 2), Block(inner, inner), Block(inner, inner))
        self.stages = nn.ModuleList((first, Block(inner, inner, 2)))
        self.ends = nn.ModuleList(nn.Conv2d(inner, LANDMARK_CHANNELS, 1) for _ in self.stages)
        for weights in self.ends.parameters():
            nn.init.zeros_(weights)

    def forward(self, feature: Tensor) -> list[Tensor]:
        """(N, width, H, W) of stride 8 -> (N, 10, H/2, W/2) and (N, 10, H/4, W/4)."""
        offsets: list[Tensor] = []
        for stage, end in zip(self.stages, self.ends, strict=True):
            feature = stage(feature)
            offsets.append(end(feature))
        return offsets


class Detector(nn.Module):
    """Detector of faces of about 6 to 200 pixels.

    Args:
        width: channels from stride 8 on; the stem has a quarter of it, stride 4 three quarters. With a multiple of 32
            all are multiples of 8, which runtimes lay out without padding.
        landmark_width: channels of the `LandmarkBranch`; 0 for none.
    """

    def __init__(self, width: int = 64, landmark_width: int = 0) -> None:
        super().__init__()
        if landmark_width < 0:
            raise ValueError(f"landmark_width must be 0 or more, not {landmark_width}")
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
        self.heads = nn.ModuleList(
            nn.Sequential(Block(width, width), nn.Conv2d(width, BOX_CHANNELS, 1)) for _ in STRIDES
        )
        self.landmarks = nn.ModuleList(nn.Conv2d(width, LANDMARK_CHANNELS, 1) for _ in STRIDES)
        self.landmark_branch: LandmarkBranch | None = LandmarkBranch(width, landmark_width) if landmark_width else None
        self._init_heads()

    def _init_heads(self) -> None:
        """Initial outputs: score 1 %, boxes of `CELLS` cells and landmarks at the center of their cell."""
        logit, size = -math.log(99), math.log(CELLS)
        for head, landmarks in zip(self.heads, self.landmarks, strict=True):
            last: Any = head[1]  # type: ignore[index]  # ModuleList is untyped
            points: Any = landmarks
            for layer in (last, points):
                nn.init.normal_(layer.weight, std=0.01)
            last.bias.data.copy_(torch.tensor([logit, 0.5, 0.5, size, size]))
            points.bias.data.fill_(0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Predict a score, a box and landmarks for every cell of every stride.

        Args:
            x: (N, 3, H, W), RGB in [0, 1]; H and W multiples of 32.

        Returns:
            (N, A, 15), A = HW/64 + HW/256 + HW/1024, strides 8, 16, 32 concatenated, each in row-major order.
            Channels: score logit; box dx, dy, log width, log height; dx, dy of five landmarks. See `decode`.
        """
        boxes, points = self.maps(x)
        return rows(boxes[:, :1], boxes, points)

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The channels of `forward` with the cells last: score logit and box (N, 5, A), and landmarks (N, 10, A).

        Box sizes are not limited yet, see `rows`.
        """
        feature = self.quarter(self.stem(x))
        levels: list[Tensor] = []
        for stage in self.stages:
            feature = stage(feature)
            levels.append(feature)
        merged: list[Tensor] = []
        for level, merge in zip(reversed(levels), reversed(self.merges), strict=True):
            merged.insert(0, merge(level + F.interpolate(merged[0], scale_factor=2.0) if merged else level))
        boxes: list[Tensor] = []
        points: list[Tensor] = []
        for feature, head, landmarks in zip(merged, self.heads, self.landmarks, strict=True):
            feature = head[0](feature)  # type: ignore[index]  # ModuleList is untyped
            boxes.append(head[1](feature).flatten(2))  # type: ignore[index]
            points.append(landmarks(feature).flatten(2))
        if self.landmark_branch is not None:
            offsets = self.landmark_branch(merged[0])
            points[1:] = [own + offset.flatten(2) for own, offset in zip(points[1:], offsets, strict=True)]
        return torch.cat(boxes, 2), torch.cat(points, 2)


def rows(score: Tensor, boxes: Tensor, points: Tensor) -> Tensor:
    """Output rows (N, A, 15) with a score, (N, 1, A), and what `Detector.maps` returns, box sizes limited."""
    sizes = boxes[:, 3:].clamp(-SIZE_LIMIT, SIZE_LIMIT)
    return torch.cat((score, boxes[:, 1:3], sizes, points), 1).transpose(1, 2)


def with_landmark_heads(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of weights of any age: in older ones, the last channels of the box heads are the landmarks."""
    result = dict(tensors)
    for key, value in tensors.items():
        last = LAST_LAYER.fullmatch(key)
        if last and value.shape[:1] == (BOX_CHANNELS + LANDMARK_CHANNELS,):
            name = f"landmarks.{last['level']}.{last['part']}"
            result[key], result[name] = value[:BOX_CHANNELS], value[BOX_CHANNELS:]
    return result


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


class PlaneStem(nn.Module):
    """First convolution for GPUs, 3×3 with stride 2, on planes: (N, 3, H, W), BGR, 0..255.

    Their kernels read four channels. TensorRT would add zeros, which its engines store for the whole image: 4 MB at
    1080p. A channel twice, whose second weights are 0, costs nothing.

    Args:
        convolution: see `PixelStem`.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        weight = convolution.weight.detach().flip(1) / 255
        self.weight = nn.Parameter(F.pad(weight, (0, 0, 0, 0, 0, 1)))

    def forward(self, planes: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, C, H/2, W/2)."""
        return F.conv2d(torch.cat((planes, planes[:, :1]), 1), self.weight, stride=2, padding=1)


def on_planes(network: Detector) -> Detector:
    """A copy with planes as input, (N, 3, H, W) BGR in 0..255; see `PlaneStem`."""
    copy = deepcopy(network)
    copy.stem[0] = PlaneStem(network.stem[0])  # type: ignore[arg-type]  # Sequential is untyped
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
