"""The consistency projection and the consistency residual of a super-resolution graph.

sr + U(lr - D sr): the difference between the input and the downscaled output is added back. D is antialiased bicubic
downscaling, U bicubic upscaling. The consistency residual is the mean of (lr - D q)², q being the pixels of the output.

For a network that removes noise and compression artifacts the projection would bring them back. Of the difference
e = lr - D sr it therefore gets G e only, G being a Gaussian low-pass filter, so that brightness and tint are projected;
or, where the network should be exact on clean input, G e + g (e - G e), the weight g being computed from the crop. In a
clean crop the network changes a small part of the detail lr - G lr, in one with noise or compression artifacts a large
one: g = 1 / (1 + (r / t)¹⁶), r being the ratio of the root mean squares of e - G e and lr - G lr, and t a threshold.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...engines.bundle.projection import FULL, Projection
from ...networks.layers.bicubic import bicubic_matrix, bicubic_weights
from ...networks.layers.resample import on_sides

PEAK = 255
MIN_WEIGHT = 1e-9
"""Smaller weights of G are set to 0: denormal ones slow the matrix product on a CPU to a twentieth."""
MIN_DETAIL = 1e-8
"""Added to the squared detail of a crop times t²: a crop of one color has none."""


class MatrixProjection(nn.Module):
    """The projection of any network: D and U are matrix products. A runtime that knows the crop size folds them.

    Args:
        scale: upscaling factor.
        projected: which part of the difference is projected.
    """

    def __init__(self, scale: int, projected: Projection = FULL) -> None:
        super().__init__()
        self.scale, self.projected = scale, projected

    def forward(self, sr: Tensor, lr: Tensor) -> Tensor:
        """Project sr (N, 3, k·H, k·W) to the input lr (N, 3, H, W), both in [0, 1] and in the same channel order."""
        up = [bicubic_matrix(side, self.scale * side, torch) for side in lr.shape[2:]]  # (k·H, H) and (k·W, W)
        return sr + on_sides(projected_part(lr - self.down(sr), lr, self.projected), up)

    def down(self, sr: Tensor) -> Tensor:
        """D sr: (N, 3, k·H, k·W) -> (N, 3, H, W)."""
        sides = [side // self.scale for side in sr.shape[2:]]
        return on_sides(sr, [bicubic_matrix(self.scale * side, side, torch) for side in sides])


class SubPixelProjection(nn.Module):
    """The projection of a network that computes a residual R to bicubic upscaling before its pixel shuffle.

    With sr = R + U lr, one upscaling is enough: R + U(lr + e), e being lr - D R - D U lr, and D U one small matrix.
    Before the pixel shuffle D and U are convolutions with 5 × 1 and 1 × 5 kernels: a pixel has 5 blocks of k × k pixels
    in its support on each side. The matrices of `MatrixProjection` are mostly zeros there; on one CPU thread a face of
    96 px takes 2.6 ms less.

    Channels are in the order (row, column, color) of the k × k block, see `SubPixelResidual`.

    Args:
        scale, projected: see `MatrixProjection`.
    """

    def __init__(self, scale: int, projected: Projection = FULL) -> None:
        super().__init__()
        self.scale, self.projected = scale, projected
        taps = block_taps(scale)  # (k, 5)
        colors, rows = torch.eye(3), torch.eye(scale)
        kernels = {
            "down_rows": torch.einsum("yt,xw,cd->xcywdt", taps, rows, colors).flatten(2, 4)[..., None].flatten(0, 1),
            "down_columns": torch.einsum("xt,cd->cxdt", taps, colors).flatten(1, 2)[:, :, None],
            "up_rows": torch.einsum("yt,cd->ycdt", taps.flip(1), colors).flatten(0, 1)[..., None],
            "up_columns": torch.einsum("xt,yv,cd->yxcvdt", taps.flip(1), rows, colors).flatten(0, 2).flatten(1, 2),
        }
        kernels["up_columns"] = kernels["up_columns"][:, :, None]
        for name, kernel in kernels.items():
            self.register_buffer(name, kernel.contiguous(), persistent=False)

    def forward(self, residual: Tensor, lr: Tensor) -> Tensor:
        """Add U lr to R (N, 3·k², H, W), and project the sum to lr (N, 3, H, W) in [0, 1], BGR.

        Returns:
            (N, 3·k², H, W).
        """
        sides = lr.shape[2:]
        down = [bicubic_matrix(self.scale * side, side, torch) for side in sides]  # (H, k·H) and (W, k·W)
        up = [bicubic_matrix(side, self.scale * side, torch) for side in sides]
        again = on_sides(lr, [d @ u for d, u in zip(down, up, strict=True)])
        error = projected_part(lr - self.down(residual) - again, lr, self.projected)
        consistent: Tensor = residual + self.up(lr + error)
        return consistent

    def down(self, sr: Tensor) -> Tensor:
        """D sr: (N, 3·k², H, W) -> (N, 3, H, W)."""
        rows = F.conv2d(sr, self.get_buffer("down_rows"), padding=(2, 0))
        result = F.conv2d(rows, self.get_buffer("down_columns"), padding=(0, 2))
        height, width = (1 / bicubic_weights(side, self.scale * side, torch).sum(0) for side in sr.shape[2:])
        down: Tensor = result * (height[:, None] * width[None, :])
        return down

    def up(self, lr: Tensor) -> Tensor:
        """U lr: (N, 3, H, W) -> (N, 3·k², H, W)."""
        rows = F.conv2d(lr, self.get_buffer("up_rows"), padding=(2, 0))
        result = F.conv2d(rows, self.get_buffer("up_columns"), padding=(0, 2))
        height, width = (
            (1 / bicubic_weights(side, self.scale * side, torch).sum(1)).reshape(side, self.scale).T
            for side in lr.shape[2:]
        )  # (k, H) and (k, W): the rows of U sum to 1 at the borders too
        k = self.scale
        per_row = height[:, None, None].expand(k, k, 3, -1).flatten(0, 2)[None, :, :, None]
        per_column = width[None, :, None].expand(k, k, 3, -1).flatten(0, 2)[None, :, None]
        up: Tensor = result * per_row * per_column
        return up


def block_taps(scale: int, xp: Any = torch) -> Any:
    """Bicubic weights of the k pixels of 5 blocks around a low-resolution pixel, (k, 5).

    Args:
        scale: k.
        xp: torch or numpy, whose array is returned.
    """
    return bicubic_weights(5, 5 * scale, xp)[:, 2].reshape(5, scale).T


def projected_part(error: Tensor, lr: Tensor, projected: Projection) -> Tensor:
    """The part of the error lr - D sr that is projected; all are (N, 3, H, W)."""
    if projected.kind == "full":
        return error
    low_pass = [gaussian_matrix(side, projected.sigma) for side in error.shape[2:]]
    low = on_sides(error, low_pass)
    if projected.kind == "low-pass":
        return low
    high, detail = error - low, lr - on_sides(lr, low_pass)
    limit = projected.threshold**2 * detail.square().mean((1, 2, 3), keepdim=True) + MIN_DETAIL
    squared_ratio = high.square().mean((1, 2, 3), keepdim=True) / limit
    part: Tensor = low + high / (1 + squared_ratio.square().square().square())
    return part


def gaussian_matrix(side: int, sigma: float) -> Tensor:
    """Matrix (side, side) FP32 of a Gaussian filter with mirrored borders.

    Rows and columns sum to 1, so the mean is preserved. `sigma` is at most a third of `side`.
    """
    row, column = torch.arange(side)[:, None].float(), torch.arange(side)[None, :].float()
    distances = (row - column, row + column + 1, row + column + 1 - 2 * side)  # to the sample and its two mirror images
    weights = sum((torch.exp(-0.5 * (distance / sigma) ** 2) for distance in distances), torch.zeros(()))
    return torch.where(weights < MIN_WEIGHT, 0.0, weights / weights.sum(1, keepdim=True))


def mean_squared_residual(projection: MatrixProjection | SubPixelProjection, levels: Tensor, lr: Tensor) -> Tensor:
    """Mean of (lr - D q)² of each face, in gray levels squared.

    Args:
        projection: of the network.
        levels: output pixels q in whole gray levels, as `projection.down` takes them.
        lr: input (N, 3, H, W) in gray levels.

    Returns:
        (N,) float32.
    """
    return (lr - projection.down(levels)).square().mean((1, 2, 3))
