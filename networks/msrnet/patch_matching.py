"""Patches of a face found again in its references: normalised correlation, first roughly, then exactly.

All indices go through tables and flat axes, so that the exported graph holds Gather, MatMul and ArgMax alone.

Source: the MSRNet paper, equation 4; L. Lu et al., "MASA-SR: matching acceleration and spatial adaptation for
reference-based image super-resolution", 2021, section 3.2, for the two passes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 4
"""Side of the blocks of the first pass, in positions: one patch stands for all 16."""
WINDOW = 8
"""Side of the window round a block's match that the second pass looks through."""


def patches(features: Tensor) -> Tensor:
    """Each position with the eight round it, as a vector of norm 1.

    The mean of each channel over the map is taken off first, so that correlation compares structure, not tint.

    Args:
        features: (N, D, H, W).

    Returns:
        (N, H·W, 9·D) float32.
    """
    n, d, height, width = features.shape
    centred = features.float() - features.float().mean((2, 3), keepdim=True)
    padded = F.pad(centred, (1, 1, 1, 1))
    shifted = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
    stacked = torch.cat(shifted, 1).reshape(n, 9 * d, height * width).transpose(1, 2)  # (N, L, 9D)
    return stacked * torch.rsqrt(stacked.square().sum(-1, keepdim=True) + 1e-6)


def matches(queries: Tensor, keys: Tensor, grid: int) -> Tensor:
    """Where in each reference a face's patches are found again.

    The patch at the middle of each block of 4×4 positions is looked for in the whole reference; the block's 16
    patches are then looked for in the 8×8 positions round that match.

    Args:
        queries: (N, L, P) `patches` of the face, L = grid².
        keys: (N, R, L, P) those of its references.
        grid: rows and columns of the map, a multiple of `BLOCK` and at least `WINDOW`.

    Returns:
        (N, R, L) int64 rows of the most alike, in keys flattened to (N·R·L, P). No gradient comes through.
    """
    n, references, positions, size = keys.shape
    side = grid // BLOCK
    corners, steps = _windows(grid, keys.device)
    flat = keys.detach().reshape(-1, size)
    split = queries.detach().reshape(n, side, BLOCK, side, BLOCK, size).permute(0, 1, 3, 2, 4, 5)
    blocks = split.reshape(n, 1, side * side, BLOCK * BLOCK, size)  # (N, 1, K, 16, P)
    middle = blocks[..., BLOCK * (BLOCK // 2) + BLOCK // 2, :]  # (N, 1, K, P)
    rough = (keys.detach() @ middle.transpose(2, 3)).argmax(2)  # (N, R, K)
    first = torch.arange(n * references, device=keys.device).reshape(n, references, 1) * positions
    corner = first + _at(corners, rough)  # (N, R, K) rows of the windows' top left
    rows = corner[..., None] + steps  # (N, R, K, 64)
    near = flat.index_select(0, rows.flatten()).reshape(n, references, side * side, WINDOW * WINDOW, size)
    best = (near @ blocks.transpose(3, 4)).argmax(3)  # (N, R, K, 16)
    found = (corner[..., None] + _at(steps, best)).reshape(n, references, side, side, BLOCK, BLOCK)
    return found.permute(0, 1, 2, 4, 3, 5).reshape(n, references, positions)


def taken(rows: Tensor, among: Tensor) -> Tensor:
    """Copy what stands at rows.

    Args:
        rows: (N, R, L) of ``among`` flattened, see `matches`.
        among: (N, R, L, V).

    Returns:
        (N, R, L, V); its gradient goes to the rows that were copied.
    """
    return among.reshape(-1, among.shape[-1]).index_select(0, rows.flatten()).reshape(among.shape)


def _at(table: Tensor, rows: Tensor) -> Tensor:
    """(n,) values at indices of any shape."""
    return table.index_select(0, rows.flatten()).reshape(rows.shape)


def _windows(grid: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each position (L,) the top left of the window round it; (64,) steps from there to each of the window."""
    along = torch.arange(grid, device=device)
    start = (along - BLOCK // 2 - (WINDOW - BLOCK) // 2).clamp(0, grid - WINDOW)
    inside = torch.arange(WINDOW, device=device)
    return (start[:, None] * grid + start).flatten(), (inside[:, None] * grid + inside).flatten()
