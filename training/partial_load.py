"""Initialize a network from weights that fit it only in part."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ..engines.errors import TrainingError
from ..networks.detector import Detector, with_landmark_heads
from ..networks.edge.net2net import net2net_expand
from ..networks.edge.network import Edge
from .recipe import Recipe


def partial_load(network: nn.Module, init_weights: Mapping[str, Tensor], recipe: Recipe) -> dict[str, Tensor]:
    """Select the tensors whose name and shape match the network.

    Weights of a smaller `Edge` network are expanded (`net2net_expand`), fused ones are converted for a network with
    branches (`Edge.unfuse`), and so are older ones of a `Detector`.

    Raises:
        TrainingError: no tensor matches.
    """
    if isinstance(network, Edge):
        init_weights = network.unfuse(net2net_expand(network, init_weights))
    if isinstance(network, Detector):
        init_weights = with_landmark_heads(init_weights)
    state = network.state_dict()
    matching = {key: value for key, value in init_weights.items() if key in state and state[key].shape == value.shape}
    if not matching:
        raise TrainingError(
            f"none of the {len(init_weights)} initial tensors fits {recipe.network} with {recipe.config}; give weights "
            "of a similar network, or omit --init-weights"
        )
    return matching
