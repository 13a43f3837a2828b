"""Uncertainty: a small network that estimates how far the output of a super-resolution network may be off.

It sees a crop and its upscaled pixels, and returns for each of these half the width of an interval around its luma.
Trained by the pinball loss at a quantile of the absolute error, it is calibrated afterwards on faces of its own.

Source of the loss: R. Koenker, G. Bassett, "Regression quantiles", 1978; of the calibration: Y. Romano, E. Patterson,
E. Candès, "Conformalized quantile regression", 2019; of both for pictures: A. Angelopoulos et al., "Image-to-image
regression with distribution-free uncertainty quantification and applications in imaging", 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers.sub_pixel import check_scale, check_sizes

GRAY_LEVELS = 10.0
"""Gray levels of a unit of the last convolution, so that its weights are of the size of the others."""
LUMA_BGR = (0.114, 0.587, 0.299)
"""BT.601 at full range: black is 0 and white is 255."""


class Uncertainty(nn.Module):
    """Residual 3×3 convolutions at the size of the crop, with the mean over the crop after the first one.

    The mean tells a strongly compressed picture from a clean one, which a few pixels do not.

    Args:
        width: channels.
        depth: convolutions between the first and the last, 1 or more.
        scale: of the super-resolution network, 2, 4 or 8.
    """

    def __init__(self, width: int = 24, depth: int = 3, scale: int = 4) -> None:
        super().__init__()
        check_sizes(width=width, depth=depth)
        check_scale(scale, (2, 4, 8))
        self.scale = scale
        self.low = nn.Conv2d(3, width, 3, padding=1)
        self.high = nn.Conv2d(1, width, 2 * scale, stride=scale, padding=scale // 2)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))
        self.pooled = nn.Conv2d(width, width, 1)
        self.tail = nn.Conv2d(width, scale * scale, 1)

    def forward(self, crop: Tensor, luma: Tensor) -> Tensor:
        """Half the width of the interval.

        Args:
            crop: (N, 3, H, W), RGB in [0, 1].
            luma: (N, 1, scale·H, scale·W), of the upscaled pixels, in [0, 1].

        Returns:
            (N, 1, scale·H, scale·W), gray levels, positive.
        """
        return self.after_first(self.low(crop) + self.high(luma))

    def after_first(self, feature: Tensor) -> Tensor:
        """From the sum of the first convolutions, (N, width, H, W), to the output of `forward`."""
        feature = F.relu(feature)
        for index, layer in enumerate(self.body):
            feature = feature + F.relu(layer(feature))
            if index == 0:
                feature = feature + self.pooled(feature.mean((2, 3), keepdim=True))
        z = F.pixel_shuffle(self.tail(feature), self.scale)
        return 0.5 * GRAY_LEVELS * (z + torch.sqrt(z * z + 4))  # squareplus: smooth and positive, without exponentials


def luma_of(pixels: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 or float BGR, 0 to 255 -> (N, 1, H, W) float luma in [0, 1]."""
    weights = torch.tensor(LUMA_BGR, device=pixels.device)
    return (pixels.float() @ weights)[:, None] / 255


def pinball(error: Tensor, half_width: Tensor, quantile: float) -> Tensor:
    """Mean pinball loss of an estimate of a quantile of the absolute error, both in gray levels."""
    excess = error - half_width
    return torch.maximum(quantile * excess, (quantile - 1) * excess).mean()
