"""LPIPS from files that its users have: AlexNet's checkpoint, and the factors that torchmetrics ships."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..calibration.evaluate import Measure
from ..engines.errors import InputError, MissingDependencyError
from ..networks.lpips import LPIPS
from ..networks.pixels import to_rgb
from .checkpoint import read_weights

BATCH = 16
FACTORS = Path("functional", "image", "lpips_models", "alex.pth")
"""Where torchmetrics keeps them; found without importing it, which takes seconds."""


def lpips(alexnet: Path) -> Measure:
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
