"""Auxiliary tasks: attributes and landmarks of a face, predicted from deep features of the super-resolution network.

They share the features and are trained together with the network, so that its features know what a face has; the
trained network does not contain them.

Source: the CRL paper, section 2.1, equation 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ATTRIBUTES = "attributes"
"""Term of a recipe's losses: the weight of the auxiliary tasks."""
REGIONS = 4
"""Rows and columns to which features are averaged, so that landmarks have a place."""


class AttributeHeads(nn.Module):
    """Equation 1, a linear model of each task on shared features.

    Not specified by the paper and chosen here: the features are averaged in 4×4 regions.

    Args:
        width: channels of the features.
        attributes, landmarks: numbers of them, not both 0.
    """

    def __init__(self, width: int, attributes: int, landmarks: int) -> None:
        super().__init__()
        self.sizes = (attributes, 2 * landmarks)
        self.linear = nn.Linear(REGIONS**2 * width, sum(self.sizes))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> (N, A) logits; (N, L, 2) x and y as fractions of the side of the picture."""
        pooled = F.adaptive_avg_pool2d(features.float(), REGIONS).flatten(1)  # (N, 16C)
        logits, points = self.linear(pooled).split(self.sizes, 1)
        return logits, points.unflatten(1, (-1, 2)) + 0.5 if self.sizes[1] else points.reshape(len(points), 0, 2)

    def loss(self, features: Tensor, attributes: Tensor, landmarks: Tensor) -> Tensor:
        """Mean cross entropy of the attributes (N, A) plus mean square error of the landmarks (N, L, 2)."""
        logits, points = self(features)
        terms = []
        if attributes.numel():
            terms.append(F.binary_cross_entropy_with_logits(logits, attributes))
        if landmarks.numel():
            terms.append(F.mse_loss(points, landmarks))
        return torch.stack(terms).sum()


class AuxiliaryTasks:
    """The heads and their optimizer, trained for one step at each loss.

    Args:
        width, attributes, landmarks: see `AttributeHeads`.
        learning_rate: of Adam, constant.
        seed: random seed of the initial weights.
    """

    def __init__(self, width: int, attributes: int, landmarks: int, learning_rate: float, seed: int = 0) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.heads = AttributeHeads(width, attributes, landmarks)
        self.heads.requires_grad_(False)
        self.adam = torch.optim.Adam(self.heads.parameters(), lr=learning_rate)

    def to(self, device: torch.device) -> None:
        """Move the heads to a device; the optimizer follows."""
        self.heads.to(device)

    def loss(self, features: Tensor, attributes: Tensor, landmarks: Tensor) -> Tensor:
        """Train the heads for one step on the features, then return the loss, whose gradient is that of the features.

        See `AttributeHeads.loss`.
        """
        self.heads.requires_grad_(True)
        self.heads.loss(features.detach(), attributes, landmarks).backward()  # type: ignore[no-untyped-call]
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        self.heads.requires_grad_(False)
        return self.heads.loss(features, attributes, landmarks)

    def state_dict(self) -> dict[str, Any]:
        """State of heads and optimizer, for a checkpoint."""
        return {"heads": self.heads.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.heads.load_state_dict(state["heads"])
        self.adam.load_state_dict(state["adam"])
