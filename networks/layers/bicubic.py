"""Bicubic resampling as a matrix product: the papers' degradation, its enlargement, and the consistency projection.

The same arithmetic serves numpy (metrics, calibration, per-face consistency) and torch (training, exported graphs).
Source: R. Keys, "Cubic convolution interpolation for digital image processing", 1981, with a = -0.5; widened by the
factor when shrinking (antialiased), as Pillow and torch have it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def bicubic_matrix(n_in: int, n_out: int, xp: Any = np, **like: Any) -> Any:
    """Weights that resample a signal of ``n_in`` samples to ``n_out``; each row sums to one.

    Args:
        n_in: samples before.
        n_out: samples after; fewer than ``n_in`` gives an antialiased filter.
        xp: numpy or torch.
        like: keyword arguments for ``xp.arange``, e.g. ``device=``.

    Returns:
        (n_out, n_in) matrix of ``xp``, float32.
    """
    weights = _weights(n_out, n_in, xp, **like).T if n_out < n_in else _weights(n_in, n_out, xp, **like)
    return weights / weights.sum(1)[:, None]


def _weights(few: int, many: int, xp: Any, **like: Any) -> Any:
    """The kernel at the distance between each of many samples and each of few, in steps of the few: (many, few).

    Rows, once they sum to one, enlarge; columns shrink. A graph that does both computes it once.
    """
    places = (xp.arange(many, dtype=xp.float32, **like)[:, None] + 0.5) * (few / many)  # (many, 1)
    x = xp.clip(abs(places - (xp.arange(few, dtype=xp.float32, **like)[None, :] + 0.5)), 0.0, 2.0)  # (many, few)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0  # nought at 2
    return xp.where(x < 1.0, near, far)


def resize_batch(pictures: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Resample pictures by bicubic interpolation, antialiased when shrinking.

    Args:
        pictures: (N, H, W, C), any real dtype.
        height: rows after.
        width: columns after.

    Returns:
        (N, height, width, C) float32, not rounded and not clipped.
    """
    n, h, w, c = pictures.shape
    rows = bicubic_matrix(h, height) @ pictures.astype(np.float32).reshape(n, h, w * c)  # (N, height, W·C)
    turned = np.moveaxis(rows.reshape(n, height, w, c), 3, 2)  # (N, height, C, W)
    return np.ascontiguousarray(np.moveaxis(turned @ bicubic_matrix(w, width).T, 2, 3), dtype=np.float32)
