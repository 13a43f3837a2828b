"""Conversion between uint8 BGR pixels and float RGB tensors."""

from __future__ import annotations

import torch
from torch import Tensor


def to_rgb(pixels: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 BGR -> (N, 3, H, W) float RGB in [0, 1], channels last in memory."""
    return (pixels.float().permute(0, 3, 1, 2) / 255).flip(1)


def to_pixels(estimate: Tensor) -> Tensor:
    """(N, 3, H, W) RGB near [0, 1] -> (N, H, W, 3) uint8 BGR."""
    return (estimate * 255).round().clamp(0, 255).flip(1).permute(0, 2, 3, 1).to(torch.uint8)
