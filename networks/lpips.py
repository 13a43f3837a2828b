"""LPIPS: how far apart two pictures look, as the features of AlexNet see them.

Source: R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018; the features,
A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LPIPS(nn.Module):
    """AlexNet's five convolutions; differences of their normalised features, weighed by one factor a channel.

    The names of the weights are those of the published files: ``features.N.weight`` and ``.bias`` of AlexNet as
    torchvision has it, ``linN.model.1.weight`` of the factors, version 0.1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
        )
        for stage, layer in enumerate(self._convolutions()):
            factors = nn.Sequential(nn.Identity(), nn.Conv2d(layer.out_channels, 1, 1, bias=False))
            self.add_module(f"lin{stage}", nn.ModuleDict({"model": factors}))
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1), persistent=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Pictures (N, 3, H, W), RGB in [0, 1], H and W at least 31 -> distances (N,), 0 for equal ones."""
        total = a.new_zeros(len(a))
        for stage, (x, y) in enumerate(zip(self._stages(a), self._stages(b), strict=True)):
            factors = self.get_parameter(f"lin{stage}.model.1.weight")  # (1, C, 1, 1)
            total = total + (factors * (x - y) ** 2).sum(1).mean((1, 2))
        return total

    def _stages(self, x: Tensor) -> list[Tensor]:
        """Features after each ReLU, of unit length at each pixel."""
        x = (2 * x - 1 - self.get_buffer("shift")) / self.get_buffer("spread")
        found = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    def _convolutions(self) -> list[nn.Conv2d]:
        return [layer for layer in self.features if isinstance(layer, nn.Conv2d)]
