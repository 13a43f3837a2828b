"""Bicubic resampling of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .bicubic import bicubic_matrix


def enlarge(x: Tensor, scale: int) -> Tensor:
    """Bicubic upsampling of (N, C, H, W) by an integer scale, as two matrix products."""
    return resample(x, scale * x.shape[-2], scale * x.shape[-1])


def resample(x: Tensor, height: int, width: int) -> Tensor:
    """Bicubic resampling of (N, C, H, W) to (N, C, height, width), antialiased when downsampling."""
    vertical = bicubic_matrix(x.shape[-2], height, torch, device=x.device).to(x.dtype)
    horizontal = bicubic_matrix(x.shape[-1], width, torch, device=x.device).to(x.dtype)
    return on_sides(x, (vertical, horizontal))


def on_sides(x: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Apply a matrix (H', H) vertically and one (W', W) horizontally: (N, C, H, W) -> (N, C, H', W')."""
    vertical, horizontal = matrices
    result: Tensor = vertical @ x @ horizontal.T
    return result
