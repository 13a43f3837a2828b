"""VGG-19 for perceptual losses, and LPIPS on AlexNet. The weights are not shipped; users supply torchvision's files.

The layers are defined here instead of imported from torchvision, whose wheels do not work with every CPU build of torch
that this package supports. Both are plain stacks of convolutions.

Source: K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015,
configuration E.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..engines.errors import InputError, MissingDependencyError
from .layers.pixels import to_rgb
from .weights import read_weights

BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and number of 3×3 convolutions of each block; a pooling follows each block."""
LAYERS = tuple(f"conv{i + 1}_{j + 1}" for i, (_, count) in enumerate(BLOCKS) for j in range(count))
"""convI_J is the J-th convolution of the I-th block, before its ReLU: φ of I and J in the CRL paper."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Input normalization of ImageNet networks, RGB in [0, 1]."""


class VGG(nn.Module):
    """VGG-19 up to one convolution, without its ReLU. Layers are numbered as in torchvision.

    Args:
        layer: last layer, one of `LAYERS`.

    Raises:
        ValueError: unknown layer.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, layer: str) -> None:
        super().__init__()
        if layer not in LAYERS:
            raise ValueError(f"VGG-19 has no layer '{layer}'; choose one of {', '.join(LAYERS)}")
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)
        layers: list[nn.Module] = []
        c_in = 3
        for name in LAYERS[: LAYERS.index(layer) + 1]:
            if layers:
                layers.append(nn.ReLU(inplace=True))
            if name.endswith("_1") and layers:
                layers.append(nn.MaxPool2d(2))
            channels = BLOCKS[int(name[4]) - 1][0]
            layers.append(nn.Conv2d(c_in, channels, 3, padding=1))
            c_in = channels
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), RGB in [0, 1] -> (N, C, H / 2^p, W / 2^p) after p poolings."""
        result: Tensor = self.features((x - self.mean) / self.std)
        return result


def read_vgg(path: Path, layer: str) -> VGG:
    """Read VGG-19 weights of torchvision up to a layer, frozen.

    Args:
        path: ``.safetensors``, or ``.pth`` with a state dict, whose keys are ``features.N.weight`` and ``.bias``.
        layer: one of `LAYERS`.

    Raises:
        InputError: the file cannot be read, or is of another network.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}; give torchvision's vgg19 weights, .pth or .safetensors")
    network = VGG(layer)
    _load(network, read_weights(path).tensors, path, "VGG-19; give torchvision's vgg19 weights")
    return network.eval().requires_grad_(False)


def _load(network: nn.Module, tensors: dict[str, Tensor], path: Path, expected: str) -> None:
    """Load the tensors that the network has; others, e.g. of a classifier, are ignored."""
    state = network.state_dict()
    for name, value in state.items():
        actual = f"is {tuple(tensors[name].shape)}" if name in tensors else "is missing"
        if actual != f"is {tuple(value.shape)}":
            raise InputError(f"{path}: {name} {actual}, expected {tuple(value.shape)} of {expected}")
    network.load_state_dict({name: tensors[name] for name in state})


class LPIPS(nn.Module):
    """LPIPS: weighted differences of the normalized features of AlexNet's five convolutions.

    Weights are named as in the published files: ``features.N.weight`` and ``.bias`` in torchvision's AlexNet,
    ``linN.model.1.weight`` in the linear layers of LPIPS, version 0.1.
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
        convolutions = [layer for layer in self.features if isinstance(layer, nn.Conv2d)]
        for stage, layer in enumerate(convolutions):
            linear = nn.Sequential(nn.Identity(), nn.Conv2d(layer.out_channels, 1, 1, bias=False))
            self.add_module(f"lin{stage}", nn.ModuleDict({"model": linear}))
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1), persistent=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Images (N, 3, H, W), RGB in [0, 1], H and W at least 31 -> (N,) distances, 0 for equal images."""
        total = a.new_zeros(len(a))
        for stage, (x, y) in enumerate(zip(self._stages(a), self._stages(b), strict=True)):
            weights = self.get_parameter(f"lin{stage}.model.1.weight")  # (1, C, 1, 1)
            total = total + (weights * (x - y) ** 2).sum(1).mean((1, 2))
        return total

    def _stages(self, x: Tensor) -> list[Tensor]:
        """Features after each ReLU, normalized at each pixel."""
        x = (2 * x - 1 - self.get_buffer("shift")) / self.get_buffer("scale")
        stages = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                stages.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
        return stages


BATCH = 16
LINEAR_WEIGHTS = Path("functional", "image", "lpips_models", "alex.pth")
"""File of the linear layers in torchmetrics, located without importing it, which takes seconds."""


def lpips(alexnet: Path) -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float64]]:
    """Function that computes LPIPS distances of super-resolved and true faces, (N, H, W, 3) uint8 BGR -> (N,).

    Args:
        alexnet: torchvision's AlexNet checkpoint, ``alexnet-owt-7be5be79.pth``, or the same tensors as safetensors; the
            classifier is not needed.

    Raises:
        InputError: the file cannot be read, or is not AlexNet.
        MissingDependencyError: torchmetrics, which supplies the linear layers, is not installed.
    """
    if not alexnet.is_file():
        raise InputError(f"there is no file {alexnet}; give torchvision's alexnet-owt-7be5be79.pth")
    network = LPIPS().eval()
    tensors = {**read_weights(alexnet).tensors, **read_weights(_linear_weights()).tensors}
    _load(network, tensors, alexnet, "torchvision's AlexNet; give alexnet-owt-7be5be79.pth")

    def distance(sr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> NDArray[np.float64]:
        parts = range(0, len(hr), BATCH)
        with torch.inference_mode():
            distances = [network(*(to_rgb(torch.from_numpy(of[i : i + BATCH])) for of in (sr, hr))) for i in parts]
        return np.asarray(torch.cat(distances).numpy(), np.float64)

    return distance


def _linear_weights() -> Path:
    spec = find_spec("torchmetrics")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / LINEAR_WEIGHTS).is_file():
            return Path(folder) / LINEAR_WEIGHTS
    raise MissingDependencyError("torchmetrics", "build", "LPIPS")
