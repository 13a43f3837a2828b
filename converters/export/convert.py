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
from ...engines.bundle.io_spec import IOSpec
from ...engines.onnxruntime.session import OrtGraph
from ...networks.msrnet.network import MSRNet
from ...networks.weights import network_from, read_weights
from ..parity import MAX_ERROR, estimate_parity, map_parity, pixel_parity
from .onnx import onnx_from_network, simplified
from .references import reference_features
from .wrapper import Uint8DetectorWrapper, Uint8SRWrapper, expose_pre_round, projection_of

PARITY_FACES = 8


@dataclass(frozen=True, eq=False)
class ExportTarget:
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


def export_target(
    network: nn.Module, io_spec: IOSpec, faces: list[NDArray[np.uint8]], smooth: float = 0.0
) -> ExportTarget:
    """What a contract asks to convert.

    Args:
        network: as trained, FP32.
        contract: of the bundle.
        faces: true faces, for super-resolution; a detector is compared on the sample picture.
        smooth: of the projection, see `Uint8SRWrapper`.
    """
    if io_spec.task == "super-resolution":
        scale = io_spec.scale
        crops = low_resolution(centres(faces[:PARITY_FACES], scale), scale)
        multiple = int(getattr(network, "multiple", 1))
        crops = padded(crops, min(io_spec.windows) if io_spec.references else multiple)
        lent: tuple[NDArray[Any], ...] = ()
        if io_spec.references:
            crops, lent = reference_features(cast(MSRNet, network), crops, faces, io_spec.references)
        return ExportTarget(
            lambda t: Uint8SRWrapper(deepcopy(network), scale, t, smooth),
            "enlarged",
            multiple,
            crops,
            pixel_parity,
            side=crops.shape[1] if lent else 0,
            square=True,
            lent=lent,
        )
    picture = np.asarray(cv2.resize(astronaut(), (320, 256), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return ExportTarget(
        lambda t: Uint8DetectorWrapper(deepcopy(network), t), "maps", io_spec.multiple, picture[None], map_parity
    )


def export_target_from_bundle(bundle: Bundle, faces: list[NDArray[np.uint8]]) -> ExportTarget:
    """What a bundle was made of: the network with its weights.

    Args:
        bundle: as built here.
        faces: see `export_target`.
    """
    card = bundle.card
    network = network_from(read_weights(bundle.folder / WEIGHTS), card.network, card.config)
    return export_target(network, card.io_spec, faces, projection_of(card.training))


def convert(what: ExportTarget, path: Path, report: Callable[[str], None]) -> dict[str, float]:
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
    parity = verify(what, "traced", path, report)
    onnx.save(simplified(traced), path)
    return parity | verify(what, "simplified", path, report)


def export_fp16(what: ExportTarget, path: Path, report: Callable[[str], None]) -> dict[str, float]:
    """As `convert`, with the network's arithmetic in FP16."""
    onnx.save(simplified(what.traced(torch.float16)), path)
    return verify(what, "fp16", path, report)


def verify(what: ExportTarget, step: str, path: Path, report: Callable[[str], None]) -> dict[str, float]:
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
        if isinstance(network, Uint8SRWrapper):
            estimate = network.estimate(*tensors)
            expected = network.rounded(estimate).numpy()
        else:
            estimate, expected = None, network(*tensors).numpy()
    figures = what.compare(step, expected, OrtGraph(path).run(*given)[0])
    if estimate is not None and step in MAX_ERROR:
        with TemporaryDirectory() as folder:
            onnx.save(expose_pre_round(onnx.load(path)), bare := Path(folder) / "unrounded.onnx")
            figures |= estimate_parity(step, estimate.numpy(), OrtGraph(bare).run(*given)[0] / 255)
    told = ", ".join(f"{name.removeprefix(step + '_')} {value:.4g}" for name, value in figures.items())
    report(f"{step}: held against PyTorch, {told}")
    return figures
