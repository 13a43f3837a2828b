"""Bicubic resampling of tensors, which networks add their residual to and trainings shrink faces with."""

from __future__ import annotations

from collections.abc import Sequence

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
    return on_sides(x, (down, across))


def on_sides(x: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """(N, C, H, W) -> (N, C, H', W'), with a matrix (H', H) for its columns and one (W', W) for its rows."""
    down, across = matrices
    result: Tensor = down @ x @ across.T
    return result
