"""Edge network of a track: the newest crop of a face, with the samples of its earlier crops as a second input."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...engines.multiframe.accumulation import channels
from ..layers.resample import enlarge
from .network import Edge


class EdgeTrack(Edge):
    """`Edge` whose first feature also sees the samples of earlier crops, see `engines.multiframe.accumulation`.

    The convolution of the samples starts at zero: with the weights of an `Edge` the network begins with its function.
    Without samples it has no effect.

    Args:
        width, depth, scale, branches: see `Edge`. At ×4 the samples add 7 % of multiply-adds. With one convolution
            less, the network loses what the weights of an `Edge` know of codecs.
    """

    def __init__(self, width: int = 48, depth: int = 8, scale: int = 4, branches: bool = False) -> None:
        super().__init__(width, depth, scale, branches)
        self.seen = nn.Conv2d(channels(scale), width, 3, padding=1, bias=False)
        nn.init.zeros_(self.seen.weight)

    def forward(self, x: Tensor, samples: Tensor | None = None) -> Tensor:
        """Upscale the newest crop.

        Args:
            x: (N, 3, H, W), RGB in [0, 1].
            samples: (N, 2·scale², H, W), see `accumulate`; None for no earlier crop.

        Returns:
            (N, 3, scale·H, scale·W), RGB near [0, 1], not clipped.
        """
        with torch.autocast(x.device.type, enabled=False):
            bicubic = enlarge(x, self.scale)
        return F.pixel_shuffle(self.sub_pixels(x, samples), self.scale) + bicubic

    def sub_pixels(self, x: Tensor, samples: Tensor | None = None) -> Tensor:
        """Residual to the bicubic image before the pixel shuffle, (N, 3·scale², H, W); arguments as in `forward`."""
        first = self.head(x)
        return self.after_head(first if samples is None else first + self.seen(samples))
