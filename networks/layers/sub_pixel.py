"""Sub-pixel upsampling, checks of network sizes, and the initialization of residual networks without normalization.

Source: W. Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional
neural network", 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

STEPS: dict[int, tuple[int, ...]] = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
"""Scale -> sub-pixel steps."""


def sub_pixel(
    width: int, scale: int, activation: Callable[[], nn.Module] = nn.ReLU, scales: Iterable[int] = STEPS
) -> nn.Sequential:
    """Sub-pixel steps: (N, width, H, W) -> (N, width, scale·H, scale·W).

    Args:
        width: channels.
        scale: upscaling factor.
        activation: builds the activation after each step.
        scales: scales that the network supports.

    Raises:
        ValueError: the scale is not supported.
    """
    check_scale(scale, scales)
    return nn.Sequential(
        *(
            layer
            for step in STEPS[scale]
            for layer in (nn.Conv2d(width, width * step * step, 3, padding=1), nn.PixelShuffle(step), activation())
        )
    )


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
