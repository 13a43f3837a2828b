"""Net2Net: initialize a larger network from a smaller trained one, with the same function.

Source: T. Chen, I. Goodfellow and J. Shlens, "Net2Net: accelerating learning via knowledge transfer", 2016.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .network import Edge

SAMPLES_WEIGHT = "seen.weight"
"""Kernel that an `EdgeTrack` has besides those of an `Edge`."""


def net2net_expand(network: Edge, trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Expand weights of a narrower or shallower network to the size of this one, without branches.

    Weights from new channels to trained ones are zero, and new layers pass the trained channels through, which is exact
    after a ReLU. Inputs of new channels keep this network's random weights. An `EdgeTrack` of the same scale keeps the
    trained weights of its samples; where there are none they stay zero.

    Args:
        network: larger network with its initial weights.
        trained: weights of a fused `Edge` or `EdgeTrack`.

    Returns:
        All weights of ``network.fused()``, without the last convolution if the scales differ; ``trained`` unchanged if
        it is not a smaller edge network.
    """
    width, depth, scale = _sizes_of({name: weight for name, weight in trained.items() if name != SAMPLES_WEIGHT})
    size = (network.head.out_channels, len(network.body))
    if not (0 < width <= size[0] and depth <= size[1]) or (width, depth) == size:
        return dict(trained)
    expanded = network.fused().state_dict()
    source_layers = {layer * len(network.body) // depth: layer for layer in range(depth)}
    for layer in range(len(network.body)):
        kernel, bias = expanded[f"body.{layer}.weight"], expanded[f"body.{layer}.bias"]
        kernel[:width], bias[:width] = 0, 0
        kernel[:width, :width, 1, 1] = torch.eye(width)
        if layer in source_layers:
            kernel[:width, :width] = trained[f"body.{source_layers[layer]}.weight"]
            bias[:width] = trained[f"body.{source_layers[layer]}.bias"]
    expanded["head.weight"][:width] = trained["head.weight"]
    expanded["head.bias"][:width] = trained["head.bias"]
    if scale != network.scale:
        return {key: value for key, value in expanded.items() if not key.startswith("tail.")}
    if SAMPLES_WEIGHT in expanded and SAMPLES_WEIGHT in trained:
        expanded[SAMPLES_WEIGHT][:width] = trained[SAMPLES_WEIGHT]
    expanded["tail.weight"][:, width:] = 0
    expanded["tail.weight"][:, :width] = trained["tail.weight"]
    return expanded | {"tail.bias": trained["tail.bias"].float()}


def _sizes_of(trained: Mapping[str, Tensor]) -> tuple[int, int, int]:
    """Width, depth and scale of the fused network with these weights; zeros for another network."""
    width, tail_channels = (len(trained.get(name, ())) for name in ("head.weight", "tail.weight"))
    depth = sum(name.startswith("body.") and name.endswith(".weight") for name in trained)
    sizes = (width, depth, math.isqrt(tail_channels // 3))
    try:
        with torch.device("meta"):
            expected = Edge(*sizes).state_dict()
    except ValueError:
        return (0, 0, 0)
    matches = {name: w.shape for name, w in expected.items()} == {name: w.shape for name, w in trained.items()}
    return sizes if matches else (0, 0, 0)
