"""Quantization-aware training: INT8 rounding in the forward pass, straight-through gradients.

Source: B. Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
2018, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..converters.quantization.layers import MIN_INT8_CHANNELS

QDQ_FORMATS = ((255, 64), (127, 127))
"""Quantization steps between zero and the maximum, of activations and of weights: the CPU format (unsigned activations,
7-bit weights) and the TensorRT format. Training alternates between them, so that the weights work in both."""
AMAX_DECAY = 0.999
"""Decay per step of the tracked activation maximum."""
SAMPLES_LAYER = "seen"
"""Name of the convolution of the samples."""


class FakeQuantConv2d(nn.Conv2d):
    """Convolution with fake-quantized, non-negative activations and fake-quantized weights; see `prepare_qat`.

    Attributes:
        amax: decayed maximum of the activations.
        format_index: entry of `QDQ_FORMATS` that the next training step uses; evaluation always uses the first.

    Both are saved in checkpoints and removed by `remove_fake_quant`.
    """

    amax: Tensor
    format_index: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        activation_steps, weight_steps = QDQ_FORMATS[0]
        if self.training:
            activation_steps, weight_steps = QDQ_FORMATS[int(self.format_index)]
            self.format_index.add_(1).remainder_(len(QDQ_FORMATS))
            self.amax.copy_(torch.maximum(AMAX_DECAY * self.amax, x.detach().abs().amax()))
        clamped = torch.where(self.amax > 0, x.clamp(max=self.amax), x)
        activation = _fake_quantize(clamped, self.amax / activation_steps)
        weight_amax = self.weight.detach().abs().amax((1, 2, 3), keepdim=True)
        weight = _fake_quantize(self.weight, weight_amax / weight_steps)
        return F.conv2d(activation, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def prepare_qat(network: nn.Module) -> None:
    """Replace the convolutions that INT8 builds quantize by `FakeQuantConv2d`; parameter names do not change.

    The first convolutions, of the pixels and of the samples of an `EdgeTrack`, stay in FP32, and so does a last one
    with few channels, see `converters.quantization.layers.excluded_nodes`.
    """
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)}
    layers.pop(SAMPLES_LAYER, None)
    _, *inner, last = layers.values()
    for layer in [*inner, last] if last.out_channels >= MIN_INT8_CHANNELS else inner:
        layer.__class__ = FakeQuantConv2d
        layer.register_buffer("amax", torch.zeros((), device=layer.weight.device))
        layer.register_buffer("format_index", torch.zeros((), dtype=torch.int64, device=layer.weight.device))


def remove_fake_quant(network: nn.Module) -> None:
    """Undo `prepare_qat`; the weights keep their trained values."""
    for layer in network.modules():
        if isinstance(layer, FakeQuantConv2d):
            del layer.amax, layer.format_index
            layer.__class__ = nn.Conv2d  # type: ignore[assignment]  # restores the original class


def _fake_quantize(x: Tensor, step: Tensor) -> Tensor:
    """Round to multiples of `step`, unchanged for a step of 0; the gradient passes through."""
    rounded = torch.where(step > 0, (x / step.clamp(min=1e-12)).round() * step, x)
    return x + (rounded - x).detach()
