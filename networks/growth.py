"""A small trained network as the start of a larger one that does the same, and has room to do better.

Source: T. Chen, I. Goodfellow and J. Shlens, "Net2Net: accelerating learning via knowledge transfer", 2016.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .edge import Edge


def grown(network: Edge, trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
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
    depth = sum(key.startswith("body.") and key.endswith(".weight") for key in trained)
    width = len(trained["head.weight"]) if "head.weight" in trained else 0
    room = (network.head.out_channels, len(network.body))
    fits = 0 < width <= room[0] and 0 < depth <= room[1] and f"body.{depth - 1}.weight" in trained
    if not fits or room == (width, depth):
        return dict(trained)
    found = network.folded().state_dict()
    places = {layer * len(network.body) // depth: layer for layer in range(depth)}
    for place in range(len(network.body)):
        kernel, bias = found[f"body.{place}.weight"], found[f"body.{place}.bias"]
        kernel[:width] = 0
        kernel[:width, :width, 1, 1] = torch.eye(width)
        if place in places:
            kernel[:width, :width] = trained[f"body.{places[place]}.weight"]
            bias[:width] = trained[f"body.{places[place]}.bias"]
    found["head.weight"][:width] = trained["head.weight"]
    found["head.bias"][:width] = trained["head.bias"]
    if len(trained["tail.weight"]) != len(found["tail.weight"]):
        return {key: value for key, value in found.items() if not key.startswith("tail.")}
    found["tail.weight"][:, width:] = 0
    found["tail.weight"][:, :width] = trained["tail.weight"]
    return found | {"tail.bias": trained["tail.bias"].float()}
