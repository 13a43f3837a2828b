"""What a super-resolved face is compared with the true one by: the terms of the papers' losses and their sum.

Where the papers write norms, means are taken here, so that what a term counts depends neither on the size of the faces
nor on how many there are.
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
"""Of the estimate and of the truth -> a scalar."""
SHARES = tuple(levels / sum(LUMA) for levels in reversed(LUMA))
"""Of red, green and blue in the luma."""
LEAST = 1e-6
"""Mean square difference that goes without saying: 60 dB."""


def total_variation(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean square difference of neighbouring pixels of the estimate (MFFCN, section 3.1.3); the truth has no say."""
    return (sr[..., 1:, :] - sr[..., :-1, :]).square().mean() + (sr[..., 1:] - sr[..., :-1]).square().mean()


def gram(features: Tensor) -> Tensor:
    """Which channels go together, wherever in the picture: Gram matrices over the number of positions and channels.

    Args:
        features: (N, C, H, W).

    Returns:
        (N, C, C). Moving the positions about does not change it.
    """
    rows = features.flatten(2)  # (N, C, HW)
    return rows @ rows.transpose(1, 2) / rows[0].numel()


def texture(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean absolute difference of Gram matrices (MFFCN, equation 5), which does not say how the matrices are scaled."""
    return F.l1_loss(gram(sr), gram(hr))


def frequency(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean absolute difference of Fourier coefficients, so that fine detail counts as much as broad shades.

    Source: S.-J. Cho et al., "Rethinking coarse-to-fine approach in single image deblurring", 2021, equation 5.
    """
    return torch.view_as_real(torch.fft.rfft2(sr - hr, norm="ortho")).abs().mean()


def psnr(sr: Tensor, hr: Tensor) -> Tensor:
    """What a mean PSNR is a mean of: the logarithm of each face's mean square difference, ¾ of it on the luma.

    So a face that was easy counts as much as one that was hard, as it does where networks are compared; the quarter on
    RGB keeps colours true, which luma alone leaves to chance.
    """
    apart = sr - hr
    luma = (apart * apart.new_tensor(SHARES).view(3, 1, 1)).sum(1).square().mean((1, 2))
    return (0.75 * luma + 0.25 * apart.square().mean((1, 2, 3)) + LEAST).log().mean()


PIXEL_LOSSES: dict[str, Loss] = {
    "l1": F.l1_loss,
    "l2": F.mse_loss,
    "variation": total_variation,
    "frequency": frequency,
    "psnr": psnr,
}
"""Terms on pictures (N, 3, H, W), RGB in [0, 1]. CRL's equation 11 is the first, MFFCN's equation 3 the second."""
FEATURE_LOSSES: dict[str, Loss] = {"perceptual_l1": F.l1_loss, "perceptual_l2": F.mse_loss, "texture": texture}
"""Terms on their features (N, C, H, W): MFFCN's equation 4; CRL's equation 9, with the mean over channels that its
equation 3 has; MFFCN's equation 5."""
ADVERSARIAL = "adversarial"
"""The term of an `Adversary`, CRL's equation 10."""


class Criterion:
    """Sum of terms.

    Args:
        losses: name -> what it counts; at least one.
        features: pictures -> features, for the terms on them; called once for all.
        adversary: for the adversarial term. It learns a step whenever the sum is taken, before it judges.

    Raises:
        UnknownNameError: there is no term of that name.
        UsageError: a term lacks what it is reckoned with.
    """

    def __init__(
        self, losses: Mapping[str, float], features: nn.Module | None = None, adversary: Adversary | None = None
    ) -> None:
        for name in losses:
            if name not in (known := {**PIXEL_LOSSES, **FEATURE_LOSSES, ADVERSARIAL: None}):
                raise UnknownNameError("loss", name, known)
            if name in FEATURE_LOSSES and features is None:
                raise UsageError(
                    f"the loss '{name}' compares features of VGG-19; give its weights with --perceptual-weights FILE"
                )
        if (ADVERSARIAL in losses) != (adversary is not None):
            raise UsageError(f"an adversary goes with the loss '{ADVERSARIAL}'; give both, or neither")
        self.losses, self.features, self.adversary = losses, features, adversary

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, 3, H, W) estimate and truth, RGB in [0, 1] -> a scalar."""
        terms = [share * PIXEL_LOSSES[name](sr, hr) for name, share in self._of(PIXEL_LOSSES)]
        if self.features is not None and (compared := self._of(FEATURE_LOSSES)):
            with torch.no_grad():
                wanted = self.features(hr).float()
            seen = self.features(sr).float()
            terms += [share * FEATURE_LOSSES[name](seen, wanted) for name, share in compared]
        if self.adversary is not None:
            self.adversary.learn(sr.detach(), hr)
            terms.append(self.losses[ADVERSARIAL] * self.adversary.generator_loss(sr))
        return torch.stack(terms).sum()

    def to(self, device: torch.device) -> None:
        """Move what terms are reckoned with."""
        if self.features is not None:
            self.features.to(device)
        if self.adversary is not None:
            self.adversary.to(device)

    def _of(self, kind: Mapping[str, Loss]) -> list[tuple[str, float]]:
        return [(name, share) for name, share in self.losses.items() if name in kind]

    def state_dict(self) -> dict[str, Any]:
        """Of the adversary, for a checkpoint; empty without one."""
        return self.adversary.state_dict() if self.adversary else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        if self.adversary:
            self.adversary.load_state_dict(state)
