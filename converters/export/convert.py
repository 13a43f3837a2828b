"""Every conversion of a network in its order, each held against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import cv2
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from ...calibration.data.faces import astronaut, low_resolution, padded
from ...calibration.metrics.evaluate import centres
from ...engines.bundle.bundle import WEIGHTS, Bundle
from ...engines.bundle.io_spec import Contract
from ...engines.onnxruntime.session import Graph
from ...networks.msrnet.network import MSRNet
from ...networks.weights import network_from, read_weights
from ..parity import LARGEST_ERROR, estimate_parity, map_parity, pixel_parity
from .onnx import onnx_from_network, simplified
from .references import lending
from .wrapper import PixelsToMaps, PixelsToPixels, projection_of, unrounded

PARITY_FACES = 8


@dataclass(frozen=True, eq=False)
class Subject:
    """What is converted, and what it is compared on.

    Args:
        wrapped: dtype -> the network between its pixels, a copy.
        output: name of the graph's output.
        multiple: what height and width are multiples of.
        pixels: (N, H, W, 3) uint8 BGR that each step is run on.
        compare: step, expected and got -> figures for the card, or a `ParityError`.
        side: of the one size that the network takes; 0 where it takes any.
        square: whether it takes squares alone.
        lent: keys, values and presence of references for each of the pictures; none for a network without them.
    """

    wrapped: Callable[[torch.dtype], nn.Module]
    output: str
    multiple: int
    pixels: NDArray[np.uint8]
    compare: Callable[[str, NDArray[Any], NDArray[Any]], dict[str, float]]
    side: int = 0
    square: bool = False
    lent: tuple[NDArray[Any], ...] = ()

    def traced(self, dtype: torch.dtype) -> onnx.ModelProto:
        """The graph, as the tracer gives it, with the arithmetic of a type."""
        lent = [torch.from_numpy(part[:2]) for part in self.lent]
        return onnx_from_network(self.wrapped(dtype), self.multiple, self.output, lent, self.side, self.square)


def subject(network: nn.Module, contract: Contract, faces: list[NDArray[np.uint8]], smooth: float = 0.0) -> Subject:
    """What a contract asks to convert.

    Args:
        network: as trained, FP32.
        contract: of the bundle.
        faces: true faces, for super-resolution; a detector is compared on the sample picture.
        smooth: of the projection, see `PixelsToPixels`.
    """
    if contract.task == "super-resolution":
        scale = contract.scale
        crops = low_resolution(centres(faces[:PARITY_FACES], scale), scale)
        multiple = int(getattr(network, "multiple", 1))
        crops = padded(crops, min(contract.windows) if contract.references else multiple)
        lent: tuple[NDArray[Any], ...] = ()
        if contract.references:
            crops, lent = lending(cast(MSRNet, network), crops, faces, contract.references)
        return Subject(
            lambda t: PixelsToPixels(deepcopy(network), scale, t, smooth),
            "enlarged",
            multiple,
            crops,
            pixel_parity,
            side=crops.shape[1] if lent else 0,
            square=True,
            lent=lent,
        )
    picture = np.asarray(cv2.resize(astronaut(), (320, 256), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return Subject(lambda t: PixelsToMaps(deepcopy(network), t), "maps", contract.multiple, picture[None], map_parity)


def subject_of(bundle: Bundle, faces: list[NDArray[np.uint8]]) -> Subject:
    """What a bundle was made of: the network with its weights.

    Args:
        bundle: as built here.
        faces: see `subject`.
    """
    card = bundle.card
    network = network_from(read_weights(bundle.folder / WEIGHTS), card.network, card.config)
    return subject(network, card.contract, faces, projection_of(card.training))


def convert(what: Subject, path: Path, report: Callable[[str], None]) -> dict[str, float]:
    """Trace and simplify.

    Args:
        what: the network, and what it is compared on.
        path: where the ONNX file is written, in FP32.
        report: told a line after each step.

    Returns:
        Figures of every step's parity, for the card.

    Raises:
        BuildError: a step failed.
        ParityError: a step departs too far.
    """
    traced = what.traced(torch.float32)
    onnx.save(traced, path)
    parity = hold(what, "traced", path, report)
    onnx.save(simplified(traced), path)
    return parity | hold(what, "simplified", path, report)


def halve(what: Subject, path: Path, report: Callable[[str], None]) -> dict[str, float]:
    """As `convert`, with the network's arithmetic in FP16."""
    onnx.save(simplified(what.traced(torch.float16)), path)
    return hold(what, "fp16", path, report)


def hold(what: Subject, step: str, path: Path, report: Callable[[str], None]) -> dict[str, float]:
    """Hold a converted network against PyTorch.

    Args:
        what: the network, and what it is compared on.
        step: what was done to it.
        path: the ONNX file.
        report: told the figures.

    Returns:
        The figures, for the card.

    Raises:
        ParityError: it departs further than the step may.
    """
    network, given = what.wrapped(torch.float32), (what.pixels, *what.lent)
    with torch.inference_mode():
        tensors = [torch.from_numpy(part) for part in given]
        if isinstance(network, PixelsToPixels):
            estimate = network.estimate(*tensors)
            expected = network.rounded(estimate).numpy()
        else:
            estimate, expected = None, network(*tensors).numpy()
    figures = what.compare(step, expected, Graph(path).run(*given)[0])
    if estimate is not None and step in LARGEST_ERROR:
        with TemporaryDirectory() as folder:
            onnx.save(unrounded(onnx.load(path)), bare := Path(folder) / "unrounded.onnx")
            figures |= estimate_parity(step, estimate.numpy(), Graph(bare).run(*given)[0] / 255)
    told = ", ".join(f"{name.removeprefix(step + '_')} {value:.4g}" for name, value in figures.items())
    report(f"{step}: held against PyTorch, {told}")
    return figures
