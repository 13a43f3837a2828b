"""What is learnt, as the loop sees it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn


class Task(Protocol):
    """What is learnt: batches, their loss, and a score on held-out data."""

    def batch(self, rng: np.random.Generator) -> Any:
        """Draw a batch; called from other threads, several at a time, while earlier steps run."""

    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        """Scalar loss of a batch."""

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Scores on held-out data, e.g. ``{"psnr_gain_db": 2.8}``."""

    def to(self, device: torch.device) -> None:
        """Move what the loss is reckoned with; batches are drawn in main memory, and moved by the loop."""


@runtime_checkable
class Learning(Protocol):
    """What a `Task` is besides, where something of its own learns as it goes: checkpoints keep that too."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and text; empty where nothing learns."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
