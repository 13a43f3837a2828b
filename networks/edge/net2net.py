"""A small trained network as the start of a larger one that does the same, and has room to do better.

Source: T. Chen, I. Goodfellow and J. Shlens, "Net2Net: accelerating learning via knowledge transfer", 2016.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .network import Edge


def net2net_expand(network: Edge, trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a narrower or shallower network as those of this one without branches.

    Trained channels hear nothing of new ones at first, and new layers hand them on as they are, which behind a ReLU
    changes nothing. What new channels hear is left at this network's random values.

    Args:
        network: the larger one, as it starts.
        trained: of a folded `Edge`.

    Returns:
        All weights of ``network.folded()``, but for a last convolution of another scale, which is left out; the trained
        ones as they are where they are no smaller network's.
    """
    width, depth, scale = _sizes_of(trained)
    room = (network.head.out_channels, len(network.body))
    if not (0 < width <= room[0] and depth <= room[1]) or (width, depth) == room:
        return dict(trained)
    found = network.folded().state_dict()
    places = {layer * len(network.body) // depth: layer for layer in range(depth)}
    for place in range(len(network.body)):
        kernel, bias = found[f"body.{place}.weight"], found[f"body.{place}.bias"]
        kernel[:width], bias[:width] = 0, 0
        kernel[:width, :width, 1, 1] = torch.eye(width)
        if place in places:
            kernel[:width, :width] = trained[f"body.{places[place]}.weight"]
            bias[:width] = trained[f"body.{places[place]}.bias"]
    found["head.weight"][:width] = trained["head.weight"]
    found["head.bias"][:width] = trained["head.bias"]
    if scale != network.scale:
        return {key: value for key, value in found.items() if not key.startswith("tail.")}
    found["tail.weight"][:, width:] = 0
    found["tail.weight"][:, :width] = trained["tail.weight"]
    return found | {"tail.bias": trained["tail.bias"].float()}


def _sizes_of(trained: Mapping[str, Tensor]) -> tuple[int, int, int]:
    """Width, depth and scale of the folded network whose weights these are; noughts where they are of another one."""
    width, colours = (len(trained.get(name, ())) for name in ("head.weight", "tail.weight"))
    depth = sum(name.startswith("body.") and name.endswith(".weight") for name in trained)
    sizes = (width, depth, math.isqrt(colours // 3))
    try:
        with torch.device("meta"):
            own = Edge(*sizes).state_dict()
    except ValueError:
        return (0, 0, 0)
    alike = {name: weight.shape for name, weight in own.items()} == {name: w.shape for name, w in trained.items()}
    return sizes if alike else (0, 0, 0)
