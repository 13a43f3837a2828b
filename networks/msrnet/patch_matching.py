"""Patch matching between a face and its references by normalized correlation, coarse to fine.

Indices use lookup tables and flat axes, so that the exported graph needs only Gather, MatMul and ArgMax.

Source: the MSRNet paper, equation 4; L. Lu et al., "MASA-SR: matching acceleration and spatial adaptation for
reference-based image super-resolution", 2021, section 3.2, for the two passes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 4
"""Side of the blocks of the coarse pass, in positions: one patch represents all 16."""
WINDOW = 8
"""Side of the search window of the fine pass around a block's match, in positions."""


def patches(features: Tensor) -> Tensor:
    """3×3 patches around each position, as vectors of norm 1.

    The mean of each channel over the map is subtracted first, so that correlation compares structure, not tint.

    Args:
        features: (N, D, H, W).

    Returns:
        (N, H·W, 9·D) float32.
    """
    n, d, height, width = features.shape
    centered = features.float() - features.float().mean((2, 3), keepdim=True)
    padded = F.pad(centered, (1, 1, 1, 1))
    shifted = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
    stacked = torch.cat(shifted, 1).reshape(n, 9 * d, height * width).transpose(1, 2)  # (N, L, 9D)
    return stacked * torch.rsqrt(stacked.square().sum(-1, keepdim=True) + 1e-6)


def match_patches(queries: Tensor, keys: Tensor, grid: int) -> Tensor:
    """Most similar patch of each reference for each patch of a face.

    Coarse pass: the center patch of each block of 4×4 positions is searched in the whole reference. Fine pass: the 16
    patches of the block are searched in the 8×8 positions around that match.

    Args:
        queries: (N, L, P) patches of the face, L = grid²; see `patches`.
        keys: (N, R, L, P) patches of its references, in whose dtype they are compared.
        grid: rows and columns of the map, a multiple of `BLOCK` and at least `WINDOW`.

    Returns:
        (N, R, L) int64 rows of the best matches, in keys flattened to (N·R·L, P); not differentiable.
    """
    n, references, positions, size = keys.shape
    side = grid // BLOCK
    corners, steps = _windows(grid, keys.device)
    flat = keys.detach().reshape(-1, size)
    split = queries.detach().to(keys.dtype).reshape(n, side, BLOCK, side, BLOCK, size).permute(0, 1, 3, 2, 4, 5)
    blocks = split.reshape(n, 1, side * side, BLOCK * BLOCK, size)  # (N, 1, K, 16, P)
    center = blocks[..., BLOCK * (BLOCK // 2) + BLOCK // 2, :]  # (N, 1, K, P)
    coarse = (keys.detach() @ center.transpose(2, 3)).argmax(2)  # (N, R, K)
    first = torch.arange(n * references, device=keys.device).reshape(n, references, 1) * positions
    corner = first + _lookup(corners, coarse)  # (N, R, K) rows of the top left corners of the windows
    rows = corner[..., None] + steps  # (N, R, K, 64)
    window = flat.index_select(0, rows.flatten()).reshape(n, references, side * side, WINDOW * WINDOW, size)
    fine = (window @ blocks.transpose(3, 4)).argmax(3)  # (N, R, K, 16)
    matched = (corner[..., None] + _lookup(steps, fine)).reshape(n, references, side, side, BLOCK, BLOCK)
    return matched.permute(0, 1, 2, 4, 3, 5).reshape(n, references, positions)


def gather_rows(rows: Tensor, tensor: Tensor) -> Tensor:
    """Gather rows (N, R, L), see `match_patches`, of a tensor (N, R, L, V), to which the gradient flows."""
    return tensor.reshape(-1, tensor.shape[-1]).index_select(0, rows.flatten()).reshape(tensor.shape)


def _lookup(table: Tensor, rows: Tensor) -> Tensor:
    """Values of a table (n,) at indices of any shape."""
    return table.index_select(0, rows.flatten()).reshape(rows.shape)


def _windows(grid: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(L,) top left corner of the window around each position; (64,) offsets from there to each position of it."""
    position = torch.arange(grid, device=device)
    start = (position - BLOCK // 2 - (WINDOW - BLOCK) // 2).clamp(0, grid - WINDOW)
    inside = torch.arange(WINDOW, device=device)
    return (start[:, None] * grid + start).flatten(), (inside[:, None] * grid + inside).flatten()
