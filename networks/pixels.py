"""Pixels become colours, which networks reckon with, and colours pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def to_rgb(pixels: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 BGR -> (N, 3, H, W) float RGB in [0, 1], channels last in memory."""
    return pixels.float().permute(0, 3, 1, 2).flip(1) / 255


def to_pixels(estimate: Tensor) -> Tensor:
    """(N, 3, H, W) RGB near [0, 1] -> (N, H, W, 3) uint8 BGR."""
    bgr = (estimate * 255).round().clamp(0, 255).flip(1)
    return bgr.permute(0, 2, 3, 1).to(torch.uint8)
