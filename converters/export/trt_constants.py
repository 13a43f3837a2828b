"""Constants of the consistency projection in graphs for TensorRT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engines.bundle.projection import Projection
from ...networks.layers.bicubic import bicubic_matrix, bicubic_weights
from .projection import PEAK, block_taps, gaussian_matrix

Array = NDArray[Any]
SIDE = 16
"""Side at which values along a side are computed: at most five at each end differ from the ones between them."""


@dataclass(frozen=True)
class ProjectionConstants:
    """The projection of a network's residual R to a base image.

    Channels of the sub-pixels are in the order (row, column, color BGR) of the k × k block.

    Args:
        scale, projected: see `MatrixProjection`.
        bicubic: the base image is U lr; otherwise lr, each pixel repeated k × k times.
        max_side: largest side of a crop, which is square.
    """

    scale: int
    projected: Projection
    bicubic: bool
    max_side: int

    @property
    def down_kernel(self) -> Array:
        """D of sub-pixels without border factors, (3, 3·k², 5, 5)."""
        taps = block_taps(self.scale, np)  # (k, 5)
        kernel = np.einsum("yt,xs,cd->cyxdts", taps, taps, np.eye(3)).reshape(3, -1, 5, 5)
        return np.asarray(kernel / self.scale**2)

    @property
    def difference_kernel(self) -> Array:
        """-D of sub-pixels in 0..1, in gray levels, and zeros for lr: (8, 3·k², 5, 5)."""
        return np.pad(-PEAK * self.down_kernel, ((0, 5), (0, 0), (0, 0), (0, 0)))

    @property
    def up_kernel(self) -> Array:
        """U without border factors, (3·k², 3, 5, 5)."""
        taps = block_taps(self.scale, np)[:, ::-1]
        return np.asarray(np.einsum("yt,xs,dc->yxcdts", taps, taps, np.eye(3)).reshape(-1, 3, 5, 5))

    @property
    def up_both_kernel(self) -> Array:
        """U of the error, and of lr if U lr is the base image: (3·k², 8, 5, 5)."""
        kernel = np.zeros((3 * self.scale**2, 8, 5, 5))
        kernel[:, :3] = self.up_kernel
        kernel[:, 3:6] = self.up_kernel * self.bicubic
        return kernel

    @property
    def up_each_kernel(self) -> Array:
        """U of two images: (6·k², 8, 5, 5)."""
        count = 3 * self.scale**2
        kernel = np.zeros((2 * count, 8, 5, 5))
        kernel[:count, :3], kernel[count:, 3:6] = self.up_kernel, self.up_kernel
        return kernel

    @property
    def gaussian(self) -> Array:
        """The low-pass filter along a side, (side, side)."""
        return gaussian_matrix(self.max_side, self.projected.sigma).numpy()

    @property
    def down_border(self) -> Array:
        """Factors of D along a side, whose rows sum to 1 at the borders too: (side,)."""
        return _at_max(self.scale / bicubic_weights(SIDE, self.scale * SIDE).sum(0), self.max_side)

    @property
    def up_border(self) -> tuple[Array, Array]:
        """Factors of U along rows and columns, (3·k², side, 1) and (3·k², 1, side)."""
        weights = bicubic_weights(SIDE, self.scale * SIDE).sum(1).reshape(SIDE, self.scale).T
        factors, k = _at_max(1 / weights, self.max_side), self.scale
        rows = np.broadcast_to(factors[:, None, None], (k, k, 3, self.max_side)).reshape(3 * k * k, -1)
        columns = np.broadcast_to(factors[None, :, None], (k, k, 3, self.max_side)).reshape(3 * k * k, -1)
        return rows[:, :, None], columns[:, None]

    def detail_bands(self, bicubic: bool) -> Array:
        """1 - D B along a side, B being U or the repetition: (2·r + 1, side), row d the weights of neighbor d - r."""
        big = self.scale * SIDE
        base = bicubic_matrix(SIDE, big) if bicubic else np.repeat(np.eye(SIDE), self.scale, 0)
        matrix = np.eye(SIDE) - bicubic_matrix(big, SIDE) @ base
        row, column = np.nonzero(np.abs(matrix) > 1e-7)
        radius = int(np.abs(row - column).max())
        bands = [np.pad(np.diag(matrix, d), (max(0, -d), max(0, d))) for d in range(-radius, radius + 1)]
        return _at_max(np.stack(bands), self.max_side)


def _at_max(values: Array, side: int) -> Array:
    """Extend values along a side, (..., SIDE), by their middle: (..., side)."""
    half = values.shape[-1] // 2
    middle = np.repeat(values[..., half : half + 1], side - values.shape[-1], -1)
    return np.concatenate((values[..., :half], middle, values[..., half:]), -1)
