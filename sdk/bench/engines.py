"""Engines of every network by NVIDIA's own parser and builder, without a GPU: what is built, and what it executes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...converters.static_graph import static_graph
from ...engines.bundle.bundle import ONNX, Bundle, Size
from ...engines.bundle.card import Precision
from ...engines.bundle.engine_info import RTX_CAPABILITIES
from ...engines.errors import BuildError, one_line
from ...engines.tensorrt.api import RTX, version
from ...engines.tensorrt.builder import Plan, compile_engine
from ...engines.tensorrt.layers import count_layers
from ...engines.tensorrt.options import CompileOptions, sizes_of
from .configs import convert_model
from .tables import RunProgress


@dataclass(frozen=True)
class EngineRow:
    """One engine, or why there is none.

    Args:
        model, precision: what was built.
        capability: compute capability of the GPU, e.g. "8.9"; "" if the graph of no GPU could be made.
        size: of the input, e.g. "64x64".
        nbytes: size of the engine; 0 if it was not built.
        kernels: of a call.
        executed: convolutions and matrix products that the engine runs, by precision.
        promised: those of the graph by precision; TensorRT may fuse some of them.
        problem: why it was not built; "" if it was.
    """

    model: str
    precision: str
    capability: str
    size: str
    nbytes: int = 0
    kernels: int = 0
    executed: dict[str, int] | None = None
    promised: dict[str, int] | None = None
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def build_engines(
    models: Sequence[Bundle],
    precisions: Sequence[Precision],
    capabilities: Sequence[str] = RTX_CAPABILITIES,
    sizes: int = 0,
    report: RunProgress = lambda step, done, total: None,
) -> list[EngineRow]:
    """Build the engines of networks in several precisions for several GPUs, with TensorRT for RTX.

    Args:
        models: FP32 bundles, exported again as a build for TensorRT exports them; INT8 is its first quantization,
            without a search for accuracy.
        precisions, capabilities: to build for.
        sizes: number of input sizes of each network, the smallest first; 0 for all.
        report: called before each network and precision.

    Raises:
        UsageError: an unknown compute capability.
        MissingDependencyError, EngineError: TensorRT for RTX is not installed, or cannot be loaded.
    """
    CompileOptions(compute_capabilities=tuple(capabilities))
    version(RTX)
    rows: list[EngineRow] = []
    with TemporaryDirectory() as folder:
        for number, model in enumerate(models):
            for place, precision in enumerate(precisions):
                done, total = number * len(precisions) + place, len(models) * len(precisions)
                report(f"{model.card.name} {precision}", done, total)
                rows += _rows_of(model, precision, capabilities, sizes, Path(folder) / f"{number}-{place}")
    return rows


def _rows_of(
    model: Bundle, precision: Precision, capabilities: Sequence[str], sizes: int, folder: Path
) -> Iterator[EngineRow]:
    """The rows of one network in one precision."""
    try:
        bundle = _converted(model, precision, folder)
    except BuildError as error:
        yield EngineRow(model.card.name, precision, "", "", problem=one_line(error))
        return
    graph = bundle.read_graph(ONNX)
    chosen = sizes_of(bundle.card.io_spec, CompileOptions())[: sizes or None]
    for size in chosen:
        try:
            static = static_graph(graph, *size)  # once for all GPUs
        except BuildError as error:
            yield replace(_empty_row(bundle, size), problem=one_line(error))
            continue
        for capability in capabilities:
            yield _row(bundle, static, size, capability)


def _converted(model: Bundle, precision: Precision, folder: Path) -> Bundle:
    (bundle,) = convert_model(model, [(precision, "tensorrt")], folder).values()
    return bundle


def _empty_row(bundle: Bundle, size: Size, capability: str = "") -> EngineRow:
    height, width = size
    return EngineRow(bundle.card.name, bundle.card.precision, capability, f"{width}x{height}")


def _row(bundle: Bundle, graph: bytes, size: Size, capability: str) -> EngineRow:
    card, row = bundle.card, _empty_row(bundle, size, capability)
    one_size = {"crop_sizes": size[:1]} if card.io_spec.crop_sizes else {"sizes_hw": (size,)}
    only = replace(bundle, card=replace(card, io_spec=replace(card.io_spec, **one_size)))
    options = CompileOptions(compute_capabilities=(capability,))
    try:
        (plan,) = compile_engine(only, lambda height, width: graph, options, product=RTX).plans.values()
    except BuildError as error:
        return replace(row, problem=one_line(error))
    return _filled(row, plan)


def _filled(row: EngineRow, plan: Plan) -> EngineRow:
    counts = count_layers(plan.layers)
    kernels = counts.pop("kernels")
    return replace(row, nbytes=len(plan.engine), kernels=kernels, executed=counts, promised=plan.promised)
