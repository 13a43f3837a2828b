"""Uncertainty: a small network that estimates how far the output of a super-resolution network may be off.

It sees a crop and its upscaled pixels, and returns for each of these half the width of an interval around its luma. A
map of the widths is multiplied by a gain of the whole crop: a few pixels do not show how strongly it is compressed.
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


_FILTERS = torch.tensor(
    (
        (*(0, 0, 0), *(0, -1, 1), *(0, 0, 0)),
        (*(0, 0, 0), *(0, -1, 0), *(0, 1, 0)),
        (*(0, 0, 0), *(0, 1, -1), *(0, -1, 1)),
        (*(0, 0, 0), *(1, -2, 1), *(0, 0, 0)),
        (*(0, 1, 0), *(0, -2, 0), *(0, 1, 0)),
        (*(1, -2, 1), *(-2, 4, -2), *(1, -2, 1)),
    ),
    dtype=torch.float32,
)
"""Differences of neighbours in rows, columns and both: of the first and of the second order."""
_YCC = ((0.299, 0.587, 0.114), (-0.1687, -0.3313, 0.5), (0.5, -0.4187, -0.0813))
"""RGB to Y, Cb, Cr, without offsets: codecs quantize chroma and luma differently."""
_NOISE = 0.3
"""Gray levels (squared) that are added to energies before their logarithm."""
STATISTICS = 4 * 4 * len(_FILTERS)
"""Of Y, Cb and Cr of the crop and of the luma of the upscaled pixels: four of each filter."""
MAX_LOG_GAIN = 3.0


class Gain(nn.Module):
    """Factor of a whole crop, from the strength of its edges and the share of its flat places.

    Args:
        hidden: units of the hidden layer.
    """

    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        self.hidden = nn.Linear(STATISTICS, hidden)
        self.out = nn.Linear(hidden, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("filters", _FILTERS.view(-1, 1, 3, 3), persistent=False)
        self.register_buffer("ycc", torch.tensor(_YCC).view(3, 3, 1, 1), persistent=False)

    def forward(self, statistics: Tensor) -> Tensor:
        """(N, `STATISTICS`) -> (N, 1, 1, 1) positive factors."""
        log = self.out(F.relu(self.hidden(statistics)))
        return torch.exp(log.clamp(-MAX_LOG_GAIN, MAX_LOG_GAIN))[..., None, None]

    def statistics(self, crop: Tensor, luma: Tensor) -> Tensor:
        """(N, `STATISTICS`) of crops (N, 3, H, W), RGB in [0, 1], and the luma (N, 1, k·H, k·W) of their pixels."""
        ycc = F.conv2d(255 * crop, self.get_buffer("ycc"))
        planes = torch.split(ycc, 1, 1)
        return torch.cat([self._of_plane(plane) for plane in (*planes, 255 * luma)], 1)

    def _of_plane(self, plane: Tensor) -> Tensor:
        response = F.conv2d(plane, self.get_buffer("filters")).abs()  # (N, 6, H - 2, W - 2)
        energy, mean = (value.mean((2, 3)) for value in (response * response, response))
        flat, faint = (torch.exp(-response / scale).mean((2, 3)) for scale in (1, 4))
        return torch.cat((torch.log(energy + _NOISE), torch.log(mean + _NOISE), flat, faint), 1)


class Uncertainty(nn.Module):
    """Residual 3×3 convolutions at the size of the crop, with the mean over the crop after the first one.

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
        self.gain = Gain()

    def forward(self, crop: Tensor, luma: Tensor) -> Tensor:
        """Half the width of the interval.

        Args:
            crop: (N, 3, H, W), RGB in [0, 1].
            luma: (N, 1, scale·H, scale·W), of the upscaled pixels, in [0, 1].

        Returns:
            (N, 1, scale·H, scale·W), gray levels, positive.
        """
        result: Tensor = self.map(crop, luma) * self.gain(self.gain.statistics(crop, luma))
        return result

    def map(self, crop: Tensor, luma: Tensor) -> Tensor:
        """The output of `forward` without the gain."""
        feature = F.relu(self.low(crop) + self.high(luma))
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
