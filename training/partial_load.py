"""Weights to start from, and what of them fits a network."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ..engines.errors import TrainingError
from ..networks.edge.net2net import net2net_expand
from ..networks.edge.network import Edge
from .recipe import Recipe


def partial_load(network: nn.Module, start: Mapping[str, Tensor], recipe: Recipe) -> dict[str, Tensor]:
    """Those weights that have the name and the shape of a network's own; the others it keeps as they are.

    Of folded weights a network with branches takes all: its branches add up to them; a larger one grows from them, see
    `net2net_expand`.

    Raises:
        TrainingError: there are none.
    """
    if isinstance(network, Edge):
        start = network.branched(net2net_expand(network, start))
    own = network.state_dict()
    found = {key: value for key, value in start.items() if key in own and own[key].shape == value.shape}
    if not found:
        raise TrainingError(
            f"none of the {len(start)} tensors to start from fits {recipe.network} with {recipe.config}; give weights "
            "of a network like it, or leave --start out"
        )
    return found
