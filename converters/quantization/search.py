"""Search for an INT8 graph that passes an accuracy check, excluding the most sensitive stages if necessary."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from ...calibration.accuracy import AccuracyCheck
from ...calibration.ranges import Ranges
from ...calibration.timing import median_ms
from ...engines.bundle.bundle import Bundle
from ...engines.errors import BuildError, ParityError
from ...engines.inputs import NO_INPUTS, Inputs
from ...engines.onnxruntime.quantizer import quantize_static
from ...engines.onnxruntime.session import OrtGraph, OrtSession
from ..export.onnx import strip_metadata
from .layers import (
    KINDS,
    boundary_convolutions,
    excluded_description,
    excluded_nodes,
    int8_mac_share,
    quantizable,
    stages,
)
from .qdq import insert_qdq, with_float_output

EXCLUDED_STAGES = (0, 1, 2, 4, 8)
"""Numbers of most sensitive stages to exclude, tried in this order; the search ends with the first that passes."""
SENSITIVITY_INPUTS = 8
"""Calibration inputs on which the sensitivity of a stage is measured."""
QdqFormat = Literal["cpu", "vnni", "tensorrt"]
"""Quantization format: CPUs take unsigned activations and 7-bit weights, 8-bit ones if they have VNNI, TensorRT the
graphs of `insert_qdq`."""


@dataclass(frozen=True)
class QuantizationSource:
    """Graph to quantize.

    Args:
        path: ONNX file with the network in FP32, or in FP16 for TensorRT; excluded nodes keep this precision.
        ranges: of its tensors.
        qdq_format: of the INT8 graph.
    """

    path: Path
    ranges: Ranges
    qdq_format: QdqFormat


@dataclass(frozen=True)
class Candidate:
    """An INT8 graph that was evaluated, for the card.

    Args:
        excluded: stages that were not quantized, besides `excluded_nodes`.
        int8_share: share of the convolutions' MACs in INT8, 0..1.
        value, drop: metric of the accuracy check, and its difference to that in FP32.
        time_ms: latency on one thread of this CPU; None for TensorRT, which runs on another device.
    """

    excluded: tuple[str, ...]
    int8_share: float
    value: float
    drop: float
    time_ms: float | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON, rounded to significant digits."""
        time = {} if self.time_ms is None else {"time_ms": round(self.time_ms, 2)}
        numbers = {name: round(getattr(self, name), 4) for name in ("int8_share", "value", "drop")}
        return {"excluded": list(self.excluded), **numbers, **time}


@dataclass(frozen=True)
class SearchResult:
    """Result of `search`.

    Args:
        always_excluded: description of the nodes that no candidate quantizes.
        candidates: in the order of evaluation; the last one passed.
        sensitivity: stage -> its share of the error of all stages, each quantized alone, 0..1, in descending order;
            empty if the first candidate passed.
    """

    always_excluded: str
    candidates: tuple[Candidate, ...]
    sensitivity: dict[str, float]


def search(
    check: AccuracyCheck, fp32: Bundle, source: QuantizationSource, draft: Bundle, report: Callable[[str], None]
) -> SearchResult:
    """Quantize as many stages of a network as the accuracy check allows.

    ONNX Runtime evaluates both formats. It has no integer kernels for Q/DQ in FP16, so it computes a TensorRT graph in
    floating point, which equals exact accumulation of 8-bit products.

    Args:
        check, fp32: accuracy check, and a bundle with the FP32 graph.
        source, draft: graph to quantize, and a bundle to write the INT8 graph to.

    Raises:
        ParityError: no candidate passed.
        BuildError: there is nothing to quantize, or quantization failed.
    """
    model = onnx.load(source.path)
    for_gpu = source.qdq_format == "tensorrt"
    excluded, description = excluded_nodes(model, for_gpu), excluded_description(model, for_gpu)
    groups = {stage: [name for name in names if name not in excluded] for stage, names in stages(model).items()}
    groups = {stage: names for stage, names in groups.items() if names}
    if not groups:
        raise BuildError("the network has no convolution to quantize besides the first and last; build with --fp16")
    sensitivity: dict[str, float] = {}
    candidates: list[Candidate] = []
    for count in [n for n in EXCLUDED_STAGES if n < len(groups)]:
        if count and not sensitivity:
            sensitivity = stage_sensitivity(model, groups, check, fp32, source)
            report(f"int8: sensitivity {', '.join(f'{stage} {share:.0%}' for stage, share in sensitivity.items())}")
        stages_out = tuple(sensitivity)[:count]
        nodes = write_int8(model, source, draft.onnx, excluded.union(*(groups[stage] for stage in stages_out)))
        with closing(OrtSession(draft)) as session:
            value = check.measure(session)
        drop = check.fp32_value - value
        time_ms = _latency_ms(draft, check) if source.qdq_format == "cpu" else None
        candidates.append(Candidate(stages_out, int8_mac_share(model, nodes), value, drop, time_ms))
        passed = drop <= check.max_drop
        report(
            f"int8 except {', '.join((description, *stages_out))}: {check.label} {value:.4f}, fp32 "
            f"{check.fp32_value:.4f}: {'passed' if passed else 'failed'}"
        )
        if passed:
            return SearchResult(description, tuple(candidates), sensitivity)
    raise ParityError(accuracy_error("int8", check, max(one.value for one in candidates)))


def accuracy_error(precision: str, check: AccuracyCheck, value: float) -> str:
    """Error message for a network that fails its accuracy check."""
    alternatives = "--fp16 or --fp32" if precision == "int8" else "--fp32"
    return (
        f"the accuracy drop of the {precision} network exceeds the limit on {check.dataset_name}: {check.label} "
        f"{value:.4f}, fp32 {check.fp32_value:.4f}, drop {check.fp32_value - value:.4f}, limit {check.max_drop:g}; "
        f"build with {alternatives}, or raise the limit with {check.option}"
    )


def write_int8(model: onnx.ModelProto, source: QuantizationSource, path: Path, excluded: Collection[str]) -> list[str]:
    """Quantize a graph except some convolutions and write it; returns the names of the quantized nodes."""
    nodes = quantizable(model, excluded)
    if source.qdq_format == "tensorrt":
        nodes = [node.name for node in model.graph.node if node.op_type == "Conv" and node.name in nodes]
        quantized = insert_qdq(model, nodes, source.ranges)
    else:
        kinds = {node.op_type for node in model.graph.node if node.name in nodes}
        weight_bits = 8 if source.qdq_format == "vnni" else 7
        quantize_static(source.path, path, nodes, [kind for kind in KINDS if kind in kinds], source.ranges, weight_bits)
        last = boundary_convolutions(model)[1]
        quantized = with_float_output(onnx.load(path), model, last.intersection(nodes))
    onnx.save(strip_metadata(quantized), path)
    return nodes


def stage_sensitivity(
    model: onnx.ModelProto,
    groups: Mapping[str, Collection[str]],
    check: AccuracyCheck,
    fp32: Bundle,
    source: QuantizationSource,
) -> dict[str, float]:
    """Share of each stage, quantized alone, in the squared output error of all stages, 0..1, in descending order.

    Squared, because independent rounding errors add up by their squares.
    """
    inputs = list(zip(check.batches, check.inputs or [NO_INPUTS] * len(check.batches), strict=True))
    inputs = inputs[:SENSITIVITY_INPUTS]
    all_convolutions = {name for names in groups.values() for name in names}
    all_convolutions |= excluded_nodes(model, source.qdq_format == "tensorrt")
    expected = _run(fp32.onnx, inputs)
    errors: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "stage.onnx"
        for stage, names in groups.items():
            write_int8(model, source, path, all_convolutions - {*names})
            pairs = zip(expected, _run(path, inputs), strict=True)
            errors[stage] = float(np.mean([mean_abs_error(*pair) ** 2 for pair in pairs]))
    total = sum(errors.values()) or 1.0
    return {stage: error / total for stage, error in sorted(errors.items(), key=lambda item: -item[1])}


def mean_abs_error(expected: NDArray[Any], actual: NDArray[Any]) -> float:
    """Mean absolute error of pixels (N, H, W, 3), or of detector maps (N, A, 15).

    Maps are weighted by their scores: boxes and landmarks of cells without a face are never used.
    """
    error = np.abs(expected.astype(np.float64) - actual)
    return float(error.mean() if expected.ndim == 4 else np.average(error.mean(-1), weights=expected[..., 0] + 1e-9))


def _run(path: Path, calls: list[tuple[NDArray[np.uint8], Inputs]]) -> list[NDArray[Any]]:
    graph = OrtGraph(path)
    return [graph.infer(batch, others).tensor for batch, others in calls]


def _latency_ms(draft: Bundle, check: AccuracyCheck) -> float:
    with closing(OrtSession(draft, 1)) as session:  # one thread, as others would wait for cores in use
        return median_ms((session,), check.timing_input)[0]
