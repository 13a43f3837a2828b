"""What a super-resolved face is compared with the true one by: the terms of the papers' losses and their sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from ..engines.errors import UnknownNameError

Loss = Callable[[Tensor, Tensor], Tensor]
"""(N, 3, H, W) estimate and truth, RGB in [0, 1] -> a scalar."""


def total_variation(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean square difference of neighbouring pixels of the estimate (MFFCN, section 3.1.3); the truth has no say."""
    return (sr[..., 1:, :] - sr[..., :-1, :]).square().mean() + (sr[..., 1:] - sr[..., :-1]).square().mean()


LOSSES: dict[str, Loss] = {"l1": F.l1_loss, "l2": F.mse_loss, "variation": total_variation}
"""Terms that need no other network."""


class Criterion:
    """Sum of terms.

    Args:
        losses: name -> what it counts; at least one.
        more: terms besides those of `LOSSES`, by name.

    Raises:
        UnknownNameError: there is no term of that name.
    """

    def __init__(self, losses: Mapping[str, float], more: Mapping[str, Loss] | None = None) -> None:
        known = {**LOSSES, **(more or {})}
        for name in losses:
            if name not in known:
                raise UnknownNameError("loss", name, known)
        self.terms = [(known[name], share) for name, share in losses.items()]

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, 3, H, W) estimate and truth, RGB in [0, 1] -> a scalar."""
        return torch.stack([share * loss(sr, hr) for loss, share in self.terms]).sum()
