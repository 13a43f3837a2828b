"""Learning with the rounding of INT8 in place, so that a network is as good in 8 bits as it was in 32.

Source: B. Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
2018, section 3; gradients pass the rounding as if it were not there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATION_STEPS, WEIGHT_STEPS = 127, 64
"""From nought to the largest value: the coarser of what the two dialects have, see `converters.qdq` and
`engines.ort_quantise`."""
FORGETTING = 0.999
"""What is kept of the largest activation seen, from step to step."""


class RoundedConvolution(nn.Conv2d):
    """A convolution of rounded activations with rounded weights; `roundings` makes it of a plain one.

    Attributes:
        peak: largest activation lately seen, sign apart; checkpoints keep it, `plain` leaves it out.
        whole: whether its weights are rounded, and not its activations alone.
    """

    peak: Tensor
    whole: bool

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        if self.training:
            self.peak.copy_(torch.maximum(FORGETTING * self.peak, x.detach().abs().amax()))
        rounded = _rounded(x, self.peak / ACTIVATION_STEPS)
        largest = self.weight.detach().abs().amax((1, 2, 3), keepdim=True)
        weight = _rounded(self.weight, largest / WEIGHT_STEPS) if self.whole else self.weight
        return F.conv2d(rounded, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def roundings(network: nn.Module) -> None:
    """Round what INT8 would: inputs of all convolutions but the first, weights of all but the first and the last.

    Weights keep their names.
    """
    _, *rest = (layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    for layer in rest:
        layer.__class__ = RoundedConvolution
        layer.register_buffer("peak", torch.zeros((), device=layer.weight.device))
        layer.whole = layer is not rest[-1]  # type: ignore[assignment]  # of a Module, anything may be


def plain(network: nn.Module) -> None:
    """Undo `roundings`; the weights stay as they were learnt."""
    for layer in network.modules():
        if isinstance(layer, RoundedConvolution):
            del layer.peak
            layer.__class__ = nn.Conv2d  # type: ignore[assignment]  # back to what it was


def _rounded(x: Tensor, step: Tensor) -> Tensor:
    """To whole steps, none for a step of 0; the gradient is that of x."""
    near = torch.where(step > 0, (x / step.clamp(min=1e-12)).round() * step, x)
    return x + (near - x).detach()
