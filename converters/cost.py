"""What a network costs, on any machine: its parameters, and the multiply-adds of a face."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..engines.bundle import Bundle
from ..networks import build_network
from .arithmetic import macs_of

SIDE = 32
"""Side of the face whose multiply-adds are counted, in pixels; of a network that takes only smaller ones, theirs."""


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Args:
        parameters: weights that were learnt.
        multiply_adds: of one face of `SIDE`, all that the graph does with it included.
    """

    parameters: int
    multiply_adds: int

    @property
    def gmac(self) -> float:
        """Multiply-adds in thousands of millions."""
        return self.multiply_adds / 1e9


def cost(bundle: Bundle) -> Cost:
    """Count what a super-resolution bundle costs, whatever its precision.

    Raises:
        UnknownNameError: the card names a network that this release does not have.
        EngineError: the graph cannot be run.
    """
    with torch.device("meta"):
        network = build_network(bundle.card.network, bundle.card.config)
    learnt = sum(parameter.numel() for parameter in network.parameters())
    windows = bundle.card.contract.windows
    return Cost(learnt, macs_of(bundle.onnx, SIDE if SIDE in windows else min(windows)))
