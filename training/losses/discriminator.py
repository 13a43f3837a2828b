"""Who tells true faces from super-resolved ones, and learns it beside the network that tries to deceive it.

Source: the CRL paper, sections 3.2 and 3.3, equations 8 and 10.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = (64, 64, 128, 128, 256, 256, 512, 512)
"""Of the eight convolutions; each two have the same, and the second of them halves the picture."""
SLOPE = 0.2


class Discriminator(nn.Module):
    """Eight 3×3 convolutions from 64 to 512 channels, as VGG has them, and the logit that a picture is a true one.

    Where the paper is silent, chosen here: strides of 1 and 2 in turn and leaky ReLU, as in SRGAN, which it follows; a
    linear layer on the mean over all positions, so that pictures may have any size; no batch normalisation, which
    would let one picture's verdict depend on the others in its batch.

    Args:
        width: channels of the first convolution; the others have them in the paper's proportion.
    """

    def __init__(self, width: int = CHANNELS[0]) -> None:
        super().__init__()
        channels = [3, *(count * width // CHANNELS[0] for count in CHANNELS)]
        layers = [
            nn.Conv2d(before, after, 3, stride=1 + n % 2, padding=1)
            for n, (before, after) in enumerate(pairwise(channels))
        ]
        self.convolutions = nn.ModuleList(layers)
        self.verdict = nn.Linear(channels[-1], 1)
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, SLOPE, nonlinearity="leaky_relu")

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), RGB in [0, 1] -> (N,) logits."""
        x = 2 * x - 1
        for layer in self.convolutions:
            x = F.leaky_relu(layer(x), SLOPE)
        result: Tensor = self.verdict(x.mean((2, 3)))[:, 0]
        return result


class Adversary:
    """A discriminator and the optimiser that it learns by.

    The paper writes its game twice: equation 8 as a difference of means under a Lipschitz bound, as Wasserstein GANs
    have it, equation 10 as −log D. The second is taken, with cross entropy for D: section 3.2 calls D a probability and
    a binary classifier, which has a logarithm as a Wasserstein critic has not, and how D is kept Lipschitz is not said.

    Args:
        rate: of Adam, the same at every step.
        beta1: decay of Adam's mean of gradients.
        seed: of the first weights.
        width: see `Discriminator`.
    """

    def __init__(self, rate: float, beta1: float = 0.9, seed: int = 0, width: int = CHANNELS[0]) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.discriminator = Discriminator(width)
        self.discriminator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub misses it
        self.discriminator.requires_grad_(False)
        self.adam = torch.optim.Adam(self.discriminator.parameters(), lr=rate, betas=(beta1, 0.999))

    def to(self, device: torch.device) -> None:
        """Move the discriminator; its optimiser follows."""
        self.discriminator.to(device)

    def learn(self, sr: Tensor, hr: Tensor) -> Tensor:
        """One step of telling them apart; returns the cross entropy before it, about 1.4 for a blind guess.

        Args:
            sr: (N, 3, H, W) super-resolved faces, RGB in [0, 1], that no gradient flows back to.
            hr: (N, 3, H, W) true ones.
        """
        self.discriminator.requires_grad_(True)
        false, true = (self.discriminator(faces).float() for faces in (sr, hr))
        loss = F.softplus(false).mean() + F.softplus(-true).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        self.discriminator.requires_grad_(False)
        return loss.detach()

    def generator_loss(self, sr: Tensor) -> Tensor:
        """−log D of (N, 3, H, W) super-resolved faces, the mean over them: equation 10, small where D is deceived."""
        return F.softplus(-self.discriminator(sr).float()).mean()

    def state_dict(self) -> dict[str, Any]:
        """Of both, for a checkpoint."""
        return {"discriminator": self.discriminator.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.adam.load_state_dict(state["adam"])
