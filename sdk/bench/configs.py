"""Benchmark configurations: runtimes and precisions available on this machine, and networks converted for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ...calibration.timing import interleaved
from ...engines.bundle.bundle import FP16_ONNX, ONNX, WEIGHTS, Bundle, open_bundle, write_bundle
from ...engines.bundle.card import PRECISIONS, Card, Precision
from ...engines.bundle.io_spec import super_resolution
from ...engines.errors import UnknownNameError, UsageError
from ...engines.inputs import SAMPLES
from ...engines.openvino.session import installed
from ...engines.registry import open_session
from ...engines.session import Session
from ...zoo import catalogue
from .paper import SCALE, SIDE, config

if TYPE_CHECKING:
    from ...converters.export.convert import ExportTarget

FP16_TRIAL_ROUNDS = 5
"""Rounds of the comparison of FP16 with FP32 that decides whether FP16 is benchmarked by default."""
GraphKind = tuple[Precision, Literal["cpu", "tensorrt"]]
"""Precision of a graph, and what it is for: INT8 has a Q/DQ format, FP32 an export for each; FP16 is the same."""
RANDOM = "random"
"""Name of random weights: latency does not depend on the weights."""


@dataclass(frozen=True)
class Backend:
    """A runtime (a key of `ENGINES`) and the precision of the network."""

    engine: str
    precision: Precision

    @property
    def graph_kind(self) -> GraphKind:
        """Kind of graph that it runs."""
        return self.precision, "tensorrt" if (self.engine, self.precision) == ("tensorrt", "int8") else "cpu"

    def __str__(self) -> str:
        names = {"onnxruntime": "ONNX Runtime", "tensorrt": "TensorRT", "openvino": "OpenVINO"}
        return f"{names.get(self.engine, self.engine)} {self.precision.upper()}"


def parse_precisions(text: str | None) -> tuple[Precision, ...]:
    """Precisions from a list such as "fp32,int8"; all if None.

    Raises:
        UnknownNameError: an unknown precision.
        UsageError: a precision is repeated.
    """
    if text is None:
        return tuple(PRECISIONS)
    names = [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in PRECISIONS:
            raise UnknownNameError("precision", name, PRECISIONS)
    if len(set(names)) < len(names):
        raise UsageError(f"expected each precision once, got {text}")
    return tuple(precision for precision in PRECISIONS if precision in names)


def available_backends(precisions: Sequence[Precision]) -> list[Backend]:
    """All runtimes that are usable on this machine, in all precisions."""
    from ...converters.compile import why_not_tensorrt

    usable = {"onnxruntime": True, "openvino": installed(), "tensorrt": not why_not_tensorrt()}
    engines = [engine for engine, is_usable in usable.items() if is_usable]
    return [Backend(engine, precision) for engine in engines for precision in precisions]


def open_backend(bundle: Bundle, backend: Backend, threads: int, folder: Path) -> Session | None:
    """Open a session of a network; None if the device prefers FP16 because INT8 is no faster: FP16 has its own backend.

    Args:
        bundle: of the network, in the graph kind of the backend.
        backend: runtime and precision.
        threads: CPU threads per call; 0 for one per core.
        folder: for compiled engines.
    """
    if backend.engine == "tensorrt":
        from ...converters.compile import compile_bundle

        bundle = compile_bundle(bundle, "tensorrt", folder=folder / f"{bundle.folder.name}-compiled")
        if bundle.card.precision != backend.precision:
            return None
    return open_session(bundle, backend.engine, threads, bundle.card.precision)


def slower_fp16(network: PreparedNetwork, sessions: dict[Backend, Session]) -> dict[Backend, str]:
    """FP16 backends that are slower on a network than FP32 in the same runtime -> note for the user."""
    notes: dict[Backend, str] = {}
    for fp16 in [backend for backend in sessions if backend.precision == "fp16"]:
        fp32 = Backend(fp16.engine, "fp32")
        if fp32 not in sessions:
            continue
        calls = [partial(sessions[backend].infer, network.faces[:1]) for backend in (fp16, fp32)]
        fp16_ms, fp32_ms = (min(ms) for ms in interleaved(calls, FP16_TRIAL_ROUNDS))
        if fp16_ms > fp32_ms:
            notes[fp16] = (
                f"{fp16} is skipped: {fp16_ms:.1f} ms, FP32 {fp32_ms:.1f} ms at depth {network.size[0]}, "
                f"width {network.size[1]}; add it with --precision fp32,fp16,int8"
            )
    return notes


@dataclass(frozen=True, eq=False)
class PreparedNetwork:
    """A network converted for the backends."""

    size: tuple[int, int]  # depth and width
    weights: str  # zoo model of the weights, or `RANDOM`
    macs: int  # multiply-adds of its convolutions per face, counted in the graph
    bundles: dict[GraphKind, Bundle]
    faces: NDArray[np.uint8]  # (N, SIDE, SIDE, 3) BGR input


def prepare_network(size: tuple[int, int], kinds: Iterable[GraphKind], folder: Path) -> PreparedNetwork:
    """Convert a network of the tables, with zoo weights if the zoo has it, otherwise with random weights.

    Args:
        size: depth and width.
        kinds: graph kinds to make.
        folder: of the bundles.

    Raises:
        BuildError, ParityError, MissingDependencyError: a conversion failed.
    """
    from ...calibration.data.faces import sample_faces
    from ...converters.export.convert import export_fp32, export_target
    from ...converters.macs import macs_of
    from ...networks import build_network
    from ...networks.weights import Provenance, weights_bytes

    name, settings, zoo_bundle = "idrn-{}x{}".format(*size), config(size), _zoo_bundle(size)
    if zoo_bundle:
        bundles, macs = convert_model(zoo_bundle, kinds, folder), macs_of(zoo_bundle.onnx, SIDE, ["Conv"])
        return PreparedNetwork(size, zoo_bundle.card.name, macs, bundles, _faces())
    network = build_network("idrn", settings).eval()
    target = export_target(network, super_resolution(SCALE), sample_faces())
    work_dir = folder / f"{name}-export"
    work_dir.mkdir(parents=True)
    fp32_onnx = work_dir / ONNX
    export_fp32(target, fp32_onnx, lambda line: None)
    card = Card(name, super_resolution(SCALE), "fp32", "idrn", settings)
    weights = weights_bytes(network, "idrn", settings, Provenance({"data": "none: random weights for benchmarks"}))
    bundles = {kind: _bundle(target, fp32_onnx, kind, card, weights, folder) for kind in kinds}
    return PreparedNetwork(size, RANDOM, macs_of(fp32_onnx, SIDE, ["Conv"]), bundles, _faces())


def convert_model(model: Bundle, kinds: Iterable[GraphKind], folder: Path) -> dict[GraphKind, Bundle]:
    """Convert a zoo model to other graph kinds; INT8 is the first quantization of a build, without accuracy check.

    Args:
        model: FP32 super-resolution network without references.
        kinds: graphs to make.
        folder: for the bundles.

    Raises:
        BuildError, MissingDependencyError: a conversion failed.
    """
    from ...calibration.data.faces import sample_faces
    from ...converters.export.convert import export_target_from_bundle

    target, weights = export_target_from_bundle(model, sample_faces()), model.read(WEIGHTS)
    return {kind: _bundle(target, model.onnx, kind, model.card, weights, folder) for kind in kinds}


def _faces() -> NDArray[np.uint8]:
    """Input faces, (N, SIDE, SIDE, 3)."""
    from ...calibration.data.faces import low_resolution, sample_faces
    from ...calibration.metrics.evaluate import center_crops

    return low_resolution(center_crops(sample_faces(), SCALE), SCALE)


def _bundle(target: ExportTarget, fp32_onnx: Path, kind: GraphKind, card: Card, weights: bytes, folder: Path) -> Bundle:
    """Bundle of a network in one graph kind."""
    work_dir = folder / "-".join((card.name, *kind, "export"))
    work_dir.mkdir(parents=True)
    contents = {ONNX: _graph(target, fp32_onnx, kind, work_dir).read_bytes(), WEIGHTS: weights}
    fp16_onnx = work_dir / FP16_ONNX
    if fp16_onnx.exists():  # used by devices on which INT8 is no faster
        contents[FP16_ONNX] = fp16_onnx.read_bytes()
    return write_bundle(folder / "-".join((card.name, *kind)), replace(card, precision=kind[0]), contents)


def _graph(target: ExportTarget, fp32_onnx: Path, kind: GraphKind, work_dir: Path) -> Path:
    """ONNX file of a graph kind."""
    from ...converters.export.convert import DTYPES, export_for_gpu
    from ...converters.quantization.ptq import ptq_unchecked

    precision, qdq_format = kind
    if kind == ("fp32", "cpu"):
        return fp32_onnx
    path = work_dir / f"{precision}-{qdq_format}.onnx"
    if precision != "int8":
        export_for_gpu(target, path, lambda line: None, DTYPES[precision])
    else:
        inputs = [target.others] if SAMPLES in target.others else []
        ptq_unchecked(target, fp32_onnx, path, [target.pixels], qdq_format, inputs)
    return path


def _zoo_bundle(size: tuple[int, int]) -> Bundle | None:
    """FP32 zoo model of this depth and width, if any."""
    models = (open_bundle(catalogue.FOLDER / name) for name in catalogue.names())
    key = ("idrn", config(size), "fp32")
    return next((b for b in models if (b.card.network, b.card.config, b.card.precision) == key), None)
