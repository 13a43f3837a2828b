"""Adversarial loss: a discriminator of true and super-resolved faces, trained together with the generator.

Source: the CRL paper, sections 3.2 and 3.3, equations 8 and 10.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = (64, 64, 128, 128, 256, 256, 512, 512)
"""Output channels of the eight convolutions; every second one has stride 2."""
SLOPE = 0.2


class Discriminator(nn.Module):
    """Eight 3×3 convolutions of 64 to 512 channels, as in VGG, and a logit that the picture is real.

    Not specified by the paper and chosen here: strides of 1 and 2 in turn and leaky ReLU, as in SRGAN, which it
    follows; a linear layer on the mean over all positions, so that pictures may have any size; no batch normalization,
    with which the logit of a picture would depend on the others in the batch.

    Args:
        width: channels of the first convolution; the others are scaled accordingly.
    """

    def __init__(self, width: int = CHANNELS[0]) -> None:
        super().__init__()
        channels = [3, *(count * width // CHANNELS[0] for count in CHANNELS)]
        layers = [nn.Conv2d(*pair, 3, stride=1 + n % 2, padding=1) for n, pair in enumerate(pairwise(channels))]
        self.convolutions = nn.ModuleList(layers)
        self.classifier = nn.Linear(channels[-1], 1)
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, SLOPE, nonlinearity="leaky_relu")

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), RGB in [0, 1] -> (N,) logits."""
        x = 2 * x - 1
        for layer in self.convolutions:
            x = F.leaky_relu(layer(x), SLOPE)
        result: Tensor = self.classifier(x.mean((2, 3)))[:, 0]
        return result


class Adversary:
    """A discriminator and its optimizer.

    The paper has two formulations: equation 8 is a difference of means under a Lipschitz constraint (Wasserstein GAN),
    equation 10 is −log D. The second is used, with cross entropy for D: section 3.2 calls D a probability and a binary
    classifier, which suits a logarithm and not a Wasserstein critic, and does not say how D is kept Lipschitz.

    Args:
        learning_rate, beta1: of Adam: constant learning rate, and decay of the first moment.
        seed: random seed of the initial weights.
        width: see `Discriminator`.
    """

    def __init__(self, learning_rate: float, beta1: float = 0.9, seed: int = 0, width: int = CHANNELS[0]) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.discriminator = Discriminator(width)
        self.discriminator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub misses it
        self.discriminator.requires_grad_(False)
        self.adam = torch.optim.Adam(self.discriminator.parameters(), lr=learning_rate, betas=(beta1, 0.999))

    def to(self, device: torch.device) -> None:
        """Move the discriminator to a device; the optimizer follows."""
        self.discriminator.to(device)

    def train_step(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Train the discriminator for one step; returns the cross entropy before it (about 1.4 at chance level).

        Super-resolved, detached, and true faces are (N, 3, H, W), RGB in [0, 1].
        """
        self.discriminator.requires_grad_(True)
        fake, real = (self.discriminator(faces).float() for faces in (sr, hr))
        loss = F.softplus(fake).mean() + F.softplus(-real).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        self.discriminator.requires_grad_(False)
        return loss.detach()

    def generator_loss(self, sr: Tensor) -> Tensor:
        """Equation 10: mean −log D of (N, 3, H, W) super-resolved faces."""
        return F.softplus(-self.discriminator(sr).float()).mean()

    def state_dict(self) -> dict[str, Any]:
        """State of discriminator and optimizer, for a checkpoint."""
        return {"discriminator": self.discriminator.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.adam.load_state_dict(state["adam"])
