"""Which Triton models a bundle becomes: one for dynamic sizes, or one for each size; their names, files and tensors."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

from ....engines.bundle.bundle import INT8_ONNX, ONNX, Bundle
from ....engines.errors import BundleError, UnknownNameError, UsageError
from ....engines.onnxruntime.session import graph_tensors
from ....engines.tensor_spec import GraphTensors, TensorSpec
from ....engines.tensorrt.api import TENSORRT

Backend = Literal["onnxruntime", "openvino", "tensorrt"]
BACKENDS = get_args(Backend)
MODEL_FILES: dict[Backend, str] = {
    "onnxruntime": "model.onnx",
    "openvino": "model.onnx",
    "tensorrt": "model.plan",
}
"""Name of the file in a version's folder; OpenVINO's backend needs it in the configuration."""
TASKS = ("super-resolution", "face-detection")
"""Tasks of the bundles that are served; others, such as uncertainty heads, take the output of a network."""
DETECTOR_WARM_UP_HW = (736, 1280)
"""Height and width that a detector of any size is warmed up with, pixels: a frame of 720 rows, padded."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True, eq=False)
class TritonModel:
    """One model of a repository.

    Args:
        name: of the model and of its folder.
        backend: that runs it.
        content: of its file, an ONNX graph or a TensorRT engine.
        tensors: inputs and outputs, the batch as first dimension.
        max_batch: largest batch, 1 or more.
        sizes_hw: heights and widths to warm it up with, pixels.
    """

    name: str
    backend: Backend
    content: bytes
    tensors: GraphTensors
    max_batch: int
    sizes_hw: tuple[tuple[int, int], ...]


def models_of(
    bundle: Bundle, backend: Backend = "onnxruntime", precision: str = "auto", max_batch: int = 8
) -> list[TritonModel]:
    """The Triton models of a bundle.

    Args:
        bundle: a network or a detector.
        backend: "onnxruntime" or "openvino" for one model that takes every size; "tensorrt" for one model for each size
            that the bundle has an engine for.
        precision: of the graph, one of `Bundle.precisions`; "auto" for the card's. The graph "int8" has 7-bit weights,
            which are correct on every processor.
        max_batch: limit of the batch, 1 or more; a card with a smaller one wins.

    Raises:
        UsageError: another task, an unknown backend, an invalid limit, a precision that the engines do not have, or a
            name that Triton cannot use.
        BundleError: the bundle was altered, or has no engine of TensorRT.
        EngineError: it has no graph in this precision.
    """
    if backend not in BACKENDS:
        raise UnknownNameError("backend", str(backend), BACKENDS)
    if (task := bundle.card.io_spec.task) not in TASKS:
        raise UsageError(f"{bundle.card.name} is for {task}; expected a bundle for {' or '.join(TASKS)}")
    if bundle.card.io_spec.frames > 1:
        raise UsageError(
            f"{bundle.card.name} reads several frames of a face, and requests to Triton have one; export another model"
        )
    if max_batch < 1:
        raise UsageError(f"expected a maximum batch of 1 or more, got {max_batch}")
    if not _NAME.fullmatch(bundle.card.name):
        raise UsageError(
            f"{bundle.card.name!r} cannot be the name of a Triton model; "
            "build the bundle with a name of letters, digits, '.', '_' and '-'"
        )
    if backend == "tensorrt":
        return _engine_models(bundle, precision, max_batch)
    io_spec, name = bundle.card.io_spec, _graph_name(bundle, precision)
    content = bundle.read_graph(name)
    sizes = tuple((side, side) for side in io_spec.crop_sizes) or io_spec.sizes_hw or (DETECTOR_WARM_UP_HW,)
    batch = min(max_batch, max(io_spec.batches))
    tensors = graph_tensors(bundle.folder / name, content)
    return [TritonModel(bundle.card.name, backend, content, tensors, batch, sizes)]


def _graph_name(bundle: Bundle, precision: str) -> str:
    """File of the graph in a precision that every processor runs correctly."""
    if precision == "auto":
        return ONNX
    path = bundle.graph(precision)  # raises for a precision that the bundle lacks
    return ONNX if path.name == ONNX else INT8_ONNX


def _engine_models(bundle: Bundle, precision: str, max_batch: int) -> list[TritonModel]:
    card, info = bundle.card, bundle.card.engine
    if info is None or not bundle.engines or info.runtime != TENSORRT.name:
        found = f"engines of {info.runtime}" if info else "no engine"
        raise BundleError(
            f"the TensorRT backend needs a bundle with one TensorRT engine for each size, {card.name} has {found}; "
            f"compile it on the server: facesr-edge build {bundle.folder} -o FOLDER --engine tensorrt"
        )
    if precision not in ("auto", card.precision):
        raise UsageError(f"the engines of {card.name} are {card.precision}; omit --precision")
    tensors = graph_tensors(bundle.onnx, bundle.read_graph(ONNX))
    return [
        TritonModel(
            sized_name(card.name, height, width),
            "tensorrt",
            bundle.read(file),
            _with_size(tensors, height, width, card.io_spec.scale if card.io_spec.crop_sizes else 0),
            min(max_batch, max(card.io_spec.batches_of(height, width)) if card.io_spec.crop_sizes else 1),
            ((height, width),),
        )
        for (height, width), file in bundle.engines.items()
    ]


def sized_name(name: str, height: int, width: int) -> str:
    """Name of the model for one size, e.g. "edge-tiny-x4-64x64"."""
    return f"{name}-{width}x{height}"


def _with_size(tensors: GraphTensors, height: int, width: int, scale: int) -> GraphTensors:
    """The tensors of an engine for one size of the pixels; `scale` is that of the output's sides, 0 for a detector."""
    first, *others = tensors.inputs
    pixels = replace(first, shape=(-1, height, width, 3))

    def sized(output: TensorSpec) -> TensorSpec:
        if len(output.shape) == 4 and scale:
            return replace(output, shape=(-1, scale * height, scale * width, 3))
        return output

    return GraphTensors((pixels, *others), tuple(map(sized, tensors.outputs)))
