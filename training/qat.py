"""Learning with the rounding of INT8 in place, so that a network is as good in 8 bits as it was in 32.

Source: B. Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
2018, section 3; gradients pass the rounding as if it were not there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..converters.quantization.layers import MIN_INT8_CHANNELS

QDQ_FORMATS = ((255, 64), (127, 127))
"""In the dialect of CPUs and in TensorRT's: steps of activations and of weights, from nought to the largest value; see
`engines.ort_quantise` and `converters.qdq`. A training has them in turn: its weights shall be good for both."""
AMAX_DECAY = 0.999
"""What is kept of the largest activation seen, from step to step."""


class FakeQuantConv2d(nn.Conv2d):
    """A convolution of rounded activations, none negative, with rounded weights; `prepare_qat` makes it of a plain one.

    Attributes:
        peak: largest activation lately seen; checkpoints keep it, `remove_fake_quant` leaves it out.
        turn: which of `QDQ_FORMATS` is next, likewise; what is judged is judged in the first.
    """

    peak: Tensor
    turn: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        activation_steps, weight_steps = QDQ_FORMATS[0]
        if self.training:
            activation_steps, weight_steps = QDQ_FORMATS[int(self.turn)]
            self.turn.add_(1).remainder_(len(QDQ_FORMATS))
            self.peak.copy_(torch.maximum(AMAX_DECAY * self.peak, x.detach().abs().amax()))
        seen = torch.where(self.peak > 0, x.clamp(max=self.peak), x)
        rounded = _rounded(seen, self.peak / activation_steps)
        largest = self.weight.detach().abs().amax((1, 2, 3), keepdim=True)
        weight = _rounded(self.weight, largest / weight_steps)
        return F.conv2d(rounded, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def prepare_qat(network: nn.Module) -> None:
    """Round what INT8 would: what convolutions read, and their weights, which keep their names.

    The first stays as it is, and so does a last one that has few channels, see `converters.layers.kept_in_floats`.
    """
    _, *rest, last = (layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    for layer in [*rest, last] if last.out_channels >= MIN_INT8_CHANNELS else rest:
        layer.__class__ = FakeQuantConv2d
        layer.register_buffer("peak", torch.zeros((), device=layer.weight.device))
        layer.register_buffer("turn", torch.zeros((), dtype=torch.int64, device=layer.weight.device))


def remove_fake_quant(network: nn.Module) -> None:
    """Undo `prepare_qat`; the weights stay as they were learnt."""
    for layer in network.modules():
        if isinstance(layer, FakeQuantConv2d):
            del layer.peak, layer.turn
            layer.__class__ = nn.Conv2d  # type: ignore[assignment]  # back to what it was


def _rounded(x: Tensor, step: Tensor) -> Tensor:
    """To whole steps, none for a step of 0; the gradient is that of x."""
    near = torch.where(step > 0, (x / step.clamp(min=1e-12)).round() * step, x)
    return x + (near - x).detach()
