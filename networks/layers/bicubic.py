"""Bicubic resampling as a matrix product, for degradation, upsampling and the consistency projection.

The same code serves numpy (metrics, calibration, per-face consistency) and torch (training, exported graphs).
Source: R. Keys, "Cubic convolution interpolation for digital image processing", 1981, with a = -0.5; the kernel is
widened by the factor when downsampling (antialiased), as in Pillow and torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def bicubic_matrix(n_in: int, n_out: int, xp: Any = np, **like: Any) -> Any:
    """Resampling matrix for signals of ``n_in`` samples to ``n_out`` samples; each row sums to 1.

    Args:
        n_in, n_out: numbers of samples; the filter is antialiased if n_out < n_in.
        xp: numpy or torch.
        like: keyword arguments for ``xp.arange``, e.g. ``device=``.

    Returns:
        (n_out, n_in) matrix of ``xp``, float32.
    """
    weights = bicubic_weights(n_out, n_in, xp, **like).T if n_out < n_in else bicubic_weights(n_in, n_out, xp, **like)
    return weights / weights.sum(1)[:, None]


def bicubic_weights(few: int, many: int, xp: Any = np, **like: Any) -> Any:
    """(many, few) kernel values at the distances between the samples of a fine and a coarse grid, in coarse steps.

    Args:
        few, many: numbers of samples of the coarse and the fine grid.
        xp, like: see `bicubic_matrix`.
    """
    # Normalized rows upsample, normalized columns downsample; a graph that does both computes this once.
    positions = (xp.arange(many, dtype=xp.float32, **like)[:, None] + 0.5) * (few / many)  # (many, 1)
    x = xp.clip(abs(positions - (xp.arange(few, dtype=xp.float32, **like)[None, :] + 0.5)), 0.0, 2.0)  # (many, few)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0  # 0 at x = 2
    return xp.where(x < 1.0, near, far)


def resize_batch(images: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Bicubic resampling of images (N, H, W, C) of any real dtype, antialiased when downsampling.

    Returns:
        (N, height, width, C) float32, not rounded and not clipped.
    """
    n, h, w, c = images.shape
    rows = bicubic_matrix(h, height) @ images.astype(np.float32).reshape(n, h, w * c)  # (N, height, W·C)
    channels_first = np.moveaxis(rows.reshape(n, height, w, c), 3, 2)  # (N, height, C, W)
    return np.ascontiguousarray(np.moveaxis(channels_first @ bicubic_matrix(w, width).T, 2, 3), dtype=np.float32)
