"""Export of a network to ONNX, each step verified against PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
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
from ...calibration.data.tracks import moved_tracks
from ...calibration.metrics.evaluate import center_crops
from ...engines.bundle.bundle import Bundle
from ...engines.bundle.io_spec import IOSpec
from ...engines.bundle.projection import FULL, Projection
from ...engines.inputs import NO_INPUTS, REFERENCE_INPUTS, Inputs
from ...engines.onnxruntime.session import OrtGraph
from ...networks.msrnet.network import MSRNet
from ...networks.weights import bundle_weights, network_from
from ..parity import MAX_ERROR, consistency_parity, map_parity, pixel_parity, pre_round_parity
from .onnx import graph_of_planes, onnx_from_network, simplify
from .references import reference_features
from .trt_constants import ProjectionConstants
from .trt_graph import trt_graph
from .wrapper import SubPixelCore, Uint8DetectorWrapper, Uint8SRWrapper, expose_pre_round

PARITY_FACES = 8
DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
"""Precision -> type of the network in an exported graph."""
Report = Callable[[str], None]
"""Called with a line for each step."""


@dataclass(frozen=True, eq=False)
class ExportTarget:
    """A network to export, and the inputs on which each export step is verified.

    Args:
        wrapped, outputs: dtype -> a copy of the network with uint8 input; names of the graph's outputs.
        pixels: (N, H, W, 3) uint8 BGR inputs for parity.
        compare: step, expected and actual output -> metrics for the card, or a `ParityError`.
        multiple, side, square: see `onnx_from_network`.
        others: name -> values of the inputs besides the pixels, of references or of samples.
        traced_for_gpu: dtype -> the graph for TensorRT, not simplified; None if it is the same as for CPUs.
    """

    wrapped: Callable[[torch.dtype], nn.Module]
    outputs: tuple[str, ...]
    multiple: int
    pixels: NDArray[np.uint8]
    compare: Callable[[str, NDArray[Any], NDArray[Any]], dict[str, float]]
    side: int = 0
    square: bool = False
    others: Inputs = field(default_factory=dict)
    traced_for_gpu: Callable[[torch.dtype], onnx.ModelProto] | None = None

    def trace(self, dtype: torch.dtype, for_gpu: bool = False) -> onnx.ModelProto:
        """The ONNX graph with the network in `dtype`, not simplified: for CPUs, or for TensorRT."""
        if for_gpu and self.traced_for_gpu:
            return self.traced_for_gpu(dtype)
        examples = _examples(self.others)
        return onnx_from_network(self.wrapped(dtype), self.multiple, self.outputs, examples, self.side, self.square)

    @cached_property
    def expected(self) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Output of PyTorch in FP32, and the same before rounding to uint8; None for a detector."""
        network = self.wrapped(torch.float32)
        with torch.inference_mode():
            pixels, others = torch.from_numpy(self.pixels), {k: torch.from_numpy(v) for k, v in self.others.items()}
            if not isinstance(network, Uint8SRWrapper):
                return network(pixels).numpy(), None
            return network(pixels, **others)[0].numpy(), network.estimate(pixels, **others).numpy()


def export_target(
    network: nn.Module, io_spec: IOSpec, faces: list[NDArray[np.uint8]], projected: Projection = FULL
) -> ExportTarget:
    """Wrap a network for export.

    Args:
        network, io_spec: trained network in FP32, and its input and output specification.
        faces: ground-truth faces for super-resolution; a detector is verified on the sample image.
        projected: see `Uint8SRWrapper`.
    """
    if io_spec.task == "face-detection":
        image = np.asarray(cv2.resize(astronaut(), (320, 256), interpolation=cv2.INTER_AREA), dtype=np.uint8)

        def wrapped(dtype: torch.dtype) -> nn.Module:
            return Uint8DetectorWrapper(deepcopy(network), dtype)

        def detector_for_gpu(dtype: torch.dtype) -> onnx.ModelProto:
            wrapper = Uint8DetectorWrapper(deepcopy(network), dtype, interleaved=False)
            return onnx_from_network(wrapper, io_spec.multiple, ("maps",))

        return ExportTarget(
            wrapped, ("maps",), io_spec.multiple, image[None], map_parity, traced_for_gpu=detector_for_gpu
        )
    scale, multiple = io_spec.scale, int(getattr(network, "multiple", 1))
    hr = center_crops(faces[:PARITY_FACES], scale, io_spec.crop_sizes)
    crops = low_resolution(hr, scale)
    crops = padded(crops, min(io_spec.crop_sizes) if io_spec.references else multiple)
    others: Inputs = NO_INPUTS
    if io_spec.references:
        crops, references = reference_features(cast(MSRNet, network), crops, faces, io_spec.references)
        others = dict(zip(REFERENCE_INPUTS, references, strict=True))
    if io_spec.frames > 1:
        others = moved_tracks(hr, scale, io_spec.frames).inputs(io_spec.frames)

    side = crops.shape[1] if io_spec.references else 0

    def for_gpu(dtype: torch.dtype) -> onnx.ModelProto:
        core = SubPixelCore(deepcopy(network), scale, dtype)
        constants = ProjectionConstants(scale, projected, core.bicubic, max(io_spec.crop_sizes))
        return trt_graph(graph_of_planes(core, dtype, multiple, _examples(others), side), constants)

    return ExportTarget(
        lambda dtype: Uint8SRWrapper(deepcopy(network), scale, dtype, projected),
        ("enlarged", "residual"),
        multiple,
        crops,
        pixel_parity,
        side=side,
        square=True,
        others=others,
        traced_for_gpu=None
        if io_spec.references and scale == 16
        else for_gpu,  # stage 2 needs stage 1 with its bicubic image
    )


def export_target_from_bundle(bundle: Bundle, faces: list[NDArray[np.uint8]]) -> ExportTarget:
    """`export_target` of the network of a bundle with the bundle's weights."""
    card = bundle.card
    network = network_from(bundle_weights(bundle), card.network, card.config)
    return export_target(network, card.io_spec, faces, card.projection or FULL)


def _examples(others: Inputs) -> Mapping[str, torch.Tensor]:
    """Inputs of two faces, for tracing."""
    return {name: torch.from_numpy(part[:2]) for name, part in others.items()}


def export_fp32(target: ExportTarget, path: Path, report: Report) -> dict[str, float]:
    """Export a network in FP32 to an ONNX file and simplify the graph; both steps are verified.

    Returns:
        Parity metrics of both steps, for the card.

    Raises:
        BuildError: a step failed.
        ParityError: a step exceeds its parity limit.
    """
    model = target.trace(torch.float32)
    onnx.save(model, path)
    parity = verify(target, "traced", path, report)
    onnx.save(simplify(model), path)
    return parity | verify(target, "simplified", path, report)


def export_for_gpu(
    target: ExportTarget, path: Path, report: Report, dtype: torch.dtype = torch.float16
) -> dict[str, float]:
    """Export a network to a graph for TensorRT in FP16 or FP32, simplify and verify it; as `export_fp32`."""
    onnx.save(simplify(target.trace(dtype, for_gpu=True)), path)
    return verify(target, "fp16" if dtype == torch.float16 else "tensorrt", path, report)


def verify(target: ExportTarget, step: str, path: Path, report: Report) -> dict[str, float]:
    """Compare the ONNX file of a conversion step in ONNX Runtime with PyTorch in FP32.

    Returns:
        Parity metrics, for the card.

    Raises:
        ParityError: the step exceeds its parity limit.
    """
    inputs = (target.pixels, *target.others.values())
    expected, estimate = target.expected
    actual, *residual = OrtGraph(path).run(*inputs)
    metrics = target.compare(step, expected, actual)
    if residual:
        metrics |= consistency_parity(step, target.pixels, actual, residual[0])
    if estimate is not None and step in MAX_ERROR:
        with TemporaryDirectory() as folder:
            pre_round = Path(folder) / "pre_round.onnx"
            onnx.save(expose_pre_round(onnx.load(path)), pre_round)
            metrics |= pre_round_parity(step, estimate, OrtGraph(pre_round).run(*inputs)[0] / 255)
    labels = {name.removeprefix(f"{step}_").replace("_", " "): value for name, value in metrics.items()}
    report(f"{step}: verified against PyTorch, {', '.join(f'{name} {value:.4g}' for name, value in labels.items())}")
    return metrics
