"""VGG-19, through whose eyes perceptual losses look at faces. Its weights are not shipped: a user brings them.

Source: K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015,
configuration E.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..converters.checkpoint import read_weights
from ..engines.errors import InputError

BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and number of 3×3 convolutions before each pooling."""
LAYERS = tuple(f"conv{i + 1}_{j + 1}" for i, (_, count) in enumerate(BLOCKS) for j in range(count))
"""convI_J is the J-th convolution before the I-th pooling, before its ReLU: CRL's φ of I and J."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures, RGB in [0, 1]: what the network was trained on has them subtracted and divided by."""


class VGG(nn.Module):
    """The first layers of VGG-19, up to one convolution, whose ReLU is left out. Layers are numbered as torchvision's.

    Args:
        layer: the last, one of `LAYERS`.

    Raises:
        ValueError: it has no such layer.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, layer: str) -> None:
        super().__init__()
        if layer not in LAYERS:
            raise ValueError(f"VGG-19 has no layer '{layer}'; it has {', '.join(LAYERS)}")
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)
        layers: list[nn.Module] = []
        before = 3
        for name in LAYERS[: LAYERS.index(layer) + 1]:
            if layers:
                layers.append(nn.ReLU(inplace=True))
            if name.endswith("_1") and layers:
                layers.append(nn.MaxPool2d(2))
            channels = BLOCKS[int(name[4]) - 1][0]
            layers.append(nn.Conv2d(before, channels, 3, padding=1))
            before = channels
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), RGB in [0, 1] -> (N, C, H / 2^p, W / 2^p) after p poolings."""
        result: Tensor = self.features((x - self.mean) / self.deviation)
        return result


def read_vgg(path: Path, layer: str) -> VGG:
    """VGG-19 as torchvision saves it, up to a layer; it does not learn.

    Args:
        path: ``.safetensors``, or ``.pth`` with a state dict, whose keys are ``features.N.weight`` and ``.bias``.
        layer: one of `LAYERS`.

    Raises:
        InputError: the file cannot be read, or holds another network.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}; give torchvision's vgg19 weights, .pth or .safetensors")
    network = VGG(layer)
    own, given = network.state_dict(), read_weights(path).tensors
    for key, value in own.items():
        came = f"is {tuple(given[key].shape)}" if key in given else "is missing"
        if came != f"is {tuple(value.shape)}":
            raise InputError(
                f"{path} holds no VGG-19: {key} {came}, expected {tuple(value.shape)}; give torchvision's vgg19 weights"
            )
    network.load_state_dict({key: given[key] for key in own})
    return network.eval().requires_grad_(False)
