"""Bicubic resampling of tensors, which networks add their residual to and trainings shrink faces with."""

from __future__ import annotations

import torch
from torch import Tensor

from .bicubic import bicubic_matrix


def enlarge(x: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement of (N, C, H, W) by an integer scale, as two matrix products."""
    return resample(x, scale * x.shape[-2], scale * x.shape[-1])


def resample(x: Tensor, height: int, width: int) -> Tensor:
    """Bicubic resampling of (N, C, H, W) to (N, C, height, width), antialiased when shrinking."""
    down = bicubic_matrix(x.shape[-2], height, torch, device=x.device).to(x.dtype)
    across = bicubic_matrix(x.shape[-1], width, torch, device=x.device).to(x.dtype)
    result: Tensor = down @ x @ across.T
    return result
