"""Super-resolution losses of the papers, and their weighted sum.

Means replace the papers' norms, so that a loss does not depend on the size or the number of faces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...calibration.metrics.image import LUMA
from ...engines.errors import UnknownNameError, UsageError
from .discriminator import Adversary

Loss = Callable[[Tensor, Tensor], Tensor]
"""Estimate and target -> scalar."""
LUMA_WEIGHTS = tuple(levels / sum(LUMA) for levels in reversed(LUMA))
"""Weights of red, green and blue in the luma."""
EPSILON = 1e-6
"""Added to mean square errors before the logarithm; corresponds to 60 dB."""


def total_variation(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean square difference of neighboring pixels of the estimate (MFFCN, section 3.1.3); the target is unused."""
    return (sr[..., 1:, :] - sr[..., :-1, :]).square().mean() + (sr[..., 1:] - sr[..., :-1]).square().mean()


def gram(features: Tensor) -> Tensor:
    """Gram matrices of the channels, divided by C·H·W, invariant to the positions' order: (N, C, H, W) -> (N, C, C)."""
    rows = features.flatten(2)  # (N, C, HW)
    return rows @ rows.transpose(1, 2) / rows[0].numel()


def texture(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean absolute difference of Gram matrices (MFFCN, equation 5, which does not specify their scale)."""
    return F.l1_loss(gram(sr), gram(hr))


def frequency(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean absolute difference of Fourier coefficients: high frequencies have the same weight as low ones.

    Source: S.-J. Cho et al., "Rethinking coarse-to-fine approach in single image deblurring", 2021, equation 5.
    """
    return torch.view_as_real(torch.fft.rfft2(sr - hr, norm="ortho")).abs().mean()


def psnr(sr: Tensor, hr: Tensor) -> Tensor:
    """Negative mean PSNR up to constants: mean over faces of the log of the mean square error, ¾ of it on the luma.

    Each face has the same weight, easy or hard, as in the evaluation. The quarter on RGB keeps the colors, which the
    luma alone does not constrain.
    """
    error = sr - hr
    luma = (error * error.new_tensor(LUMA_WEIGHTS).view(3, 1, 1)).sum(1).square().mean((1, 2))
    return (0.75 * luma + 0.25 * error.square().mean((1, 2, 3)) + EPSILON).log().mean()


PIXEL_LOSSES: dict[str, Loss] = {
    "l1": F.l1_loss,
    "l2": F.mse_loss,
    "variation": total_variation,
    "frequency": frequency,
    "psnr": psnr,
}
"""Terms on pictures (N, 3, H, W), RGB in [0, 1]. "l1" is equation 11 of CRL, "l2" equation 3 of MFFCN."""
FEATURE_LOSSES: dict[str, Loss] = {"perceptual_l1": F.l1_loss, "perceptual_l2": F.mse_loss, "texture": texture}
"""Terms on VGG-19 features (N, C, H, W): equation 4 of MFFCN; equation 9 of CRL, with the mean over channels of its
equation 3; equation 5 of MFFCN."""
ADVERSARIAL = "adversarial"
"""Term of an `Adversary`, equation 10 of CRL."""


class Criterion:
    """Weighted sum of loss terms.

    Args:
        losses: term -> weight; at least one.
        features: network of the feature terms; called once for all of them.
        adversary: for the adversarial term; trained for one step at each call, before its loss is computed.

    Raises:
        UnknownNameError: unknown term.
        UsageError: a term lacks its network.
    """

    def __init__(
        self, losses: Mapping[str, float], features: nn.Module | None = None, adversary: Adversary | None = None
    ) -> None:
        for name in losses:
            if name not in (known := {**PIXEL_LOSSES, **FEATURE_LOSSES, ADVERSARIAL: None}):
                raise UnknownNameError("loss", name, known)
            if name in FEATURE_LOSSES and features is None:
                raise UsageError(f"the loss '{name}' needs VGG-19; give its weights with --perceptual-weights FILE")
        if (ADVERSARIAL in losses) != (adversary is not None):
            raise UsageError(f"the loss '{ADVERSARIAL}' and an adversary need each other; give both or neither")
        self.losses, self.features, self.adversary = losses, features, adversary

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, 3, H, W) estimate and target, RGB in [0, 1] -> scalar."""
        terms = [weight * PIXEL_LOSSES[name](sr, hr) for name, weight in self._weighted(PIXEL_LOSSES)]
        if self.features is not None and (weighted := self._weighted(FEATURE_LOSSES)):
            with torch.no_grad():
                hr_features = self.features(hr).float()
            sr_features = self.features(sr).float()
            terms += [weight * FEATURE_LOSSES[name](sr_features, hr_features) for name, weight in weighted]
        if self.adversary is not None:
            self.adversary.train_step(sr.detach(), hr)
            terms.append(self.losses[ADVERSARIAL] * self.adversary.generator_loss(sr))
        return torch.stack(terms).sum()

    def to(self, device: torch.device) -> None:
        """Move the networks of the terms to a device."""
        for network in (self.features, self.adversary):
            if network is not None:
                network.to(device)

    def _weighted(self, terms: Mapping[str, Loss]) -> list[tuple[str, float]]:
        return [(name, weight) for name, weight in self.losses.items() if name in terms]

    def state_dict(self) -> dict[str, Any]:
        """State of the adversary, for a checkpoint; empty without one."""
        return self.adversary.state_dict() if self.adversary else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        if self.adversary:
            self.adversary.load_state_dict(state)
