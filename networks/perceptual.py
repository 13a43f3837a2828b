"""VGG-19, through whose eyes perceptual losses look at faces. Its weights are not shipped: a user brings them.

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


BATCH = 16
FACTORS = Path("functional", "image", "lpips_models", "alex.pth")
"""Where torchmetrics keeps them; found without importing it, which takes seconds."""


def lpips(alexnet: Path) -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float64]]:
    """Distance of faces that came back from the true ones, as AlexNet sees it; 0 for equal ones.

    Args:
        alexnet: torchvision's checkpoint of AlexNet trained on ImageNet, ``alexnet-owt-7be5be79.pth``, or the same
            tensors as safetensors; its classifier is not needed.

    Raises:
        InputError: the file cannot be read, or is no AlexNet.
        MissingDependencyError: torchmetrics, which has the factors, is not installed.
    """
    if not alexnet.is_file():
        raise InputError(f"there is no file {alexnet}; give torchvision's alexnet-owt-7be5be79.pth")
    network = lpips_network(read_weights(alexnet).tensors, read_weights(_factors()).tensors, str(alexnet))

    def distance(pictures: NDArray[np.uint8], true: NDArray[np.uint8]) -> NDArray[np.float64]:
        parts = range(0, len(true), BATCH)
        with torch.inference_mode():
            found = [network(*(to_rgb(torch.from_numpy(of[i : i + BATCH])) for of in (pictures, true))) for i in parts]
        return np.asarray(torch.cat(found).numpy(), np.float64)

    return distance


def lpips_network(alexnet: dict[str, Tensor], factors: dict[str, Tensor], where: str) -> LPIPS:
    """The network with weights in it, ready to be asked.

    Args:
        alexnet: at least AlexNet's ``features.…``.
        factors: ``linN.model.1.weight``.
        where: AlexNet's file, for the error.

    Raises:
        InputError: a tensor is missing or of another shape.
    """
    network = LPIPS().eval()
    given = {**alexnet, **factors}
    for name, expected in network.state_dict().items():
        shape = tuple(given[name].shape) if name in given else None
        if shape != tuple(expected.shape):
            came = f"is {_by(shape)}" if shape else "is not there"
            raise InputError(
                f"{where} is not torchvision's AlexNet: {name} should be {_by(tuple(expected.shape))} and {came}; "
                "give alexnet-owt-7be5be79.pth"
            )
    network.load_state_dict({name: given[name] for name in network.state_dict()})
    return network


def _factors() -> Path:
    found = find_spec("torchmetrics")
    for folder in (found.submodule_search_locations or []) if found else []:
        if (Path(folder) / FACTORS).is_file():
            return Path(folder) / FACTORS
    raise MissingDependencyError("torchmetrics", "build", "LPIPS")


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
