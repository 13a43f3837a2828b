"""Sub-pixel upsampling, checks of network sizes, and the initialization of residual networks without normalization.

Source: W. Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional
neural network", 2016.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

from torch import nn

STEPS: dict[int, tuple[int, ...]] = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
"""Scale -> sub-pixel steps."""


def sub_pixel(
    width: int, scale: int, activation: Callable[[], nn.Module] = nn.ReLU, scales: Iterable[int] = STEPS
) -> nn.Sequential:
    """Sub-pixel steps: (N, width, H, W) -> (N, width, scale·H, scale·W).

    The activation stands before the shuffle, where runtimes fuse it into the convolution. As it has at most one
    parameter for all channels, the result is that of the papers' order; the names of the layers are too.

    Args:
        width: channels.
        scale: upscaling factor.
        activation: builds the activation of each step.
        scales: scales that the network supports.

    Raises:
        ValueError: the scale is not supported.
    """
    check_scale(scale, scales)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index, step in enumerate(STEPS[scale]):
        layers[f"{3 * index}"] = nn.Conv2d(width, width * step * step, 3, padding=1)
        layers[f"{3 * index + 2}"] = activation()
        layers[f"{3 * index + 1}"] = nn.PixelShuffle(step)
    return nn.Sequential(layers)


def check_scale(scale: int, scales: Iterable[int]) -> None:
    """Raise a ValueError unless a network supports a scale."""
    if scale not in scales:
        raise ValueError(f"scale {scale} is not supported; choose one of {', '.join(map(str, scales))}")


def check_sizes(**sizes: int) -> None:
    """Raise a ValueError unless depth, width and other sizes of a network are 1 or more."""
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, not {value}")


def init_residual(network: nn.Module, branch_ends: Iterable[nn.Conv2d]) -> None:
    """He initialization of all convolutions; the last ones of residual branches are scaled to a tenth.

    Every block thus starts near the identity, and the initial output is near the bicubic image.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for layer in branch_ends:
        layer.weight.data.mul_(0.1)
