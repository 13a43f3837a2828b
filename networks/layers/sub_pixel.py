"""Enlargement of features by sub-pixel convolutions, and the start that residual networks without norms need.

Source: W. Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional
neural network", 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

STEPS: dict[int, tuple[int, ...]] = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
"""Enlargement -> the sub-pixel steps that make it."""


def sub_pixel(
    width: int, scale: int, activation: Callable[[], nn.Module] = nn.ReLU, scales: Iterable[int] = STEPS
) -> nn.Sequential:
    """Sub-pixel steps: (N, width, H, W) -> (N, width, scale·H, scale·W).

    Args:
        width: channels.
        scale: enlargement.
        activation: makes the layer after each step.
        scales: enlargements that the network is made for.

    Raises:
        ValueError: the scale is none of them.
    """
    if scale not in scales:
        raise ValueError(f"scale {scale} is not to be had; it is one of {', '.join(map(str, scales))}")
    return nn.Sequential(
        *(
            layer
            for step in STEPS[scale]
            for layer in (nn.Conv2d(width, width * step * step, 3, padding=1), nn.PixelShuffle(step), activation())
        )
    )


def check_sizes(**sizes: int) -> None:
    """Refuse a network of no depth or width.

    Raises:
        ValueError: which is below 1.
    """
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, not {value}")


def init_residual(network: nn.Module, damped: Iterable[nn.Conv2d]) -> None:
    """He initialisation of all convolutions; those that end a residual branch start at a tenth.

    So every block starts near the identity, and what the network adds to the enlarged picture starts near nothing.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for layer in damped:
        layer.weight.data.mul_(0.1)
