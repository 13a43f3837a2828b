"""A graph in floats -> INT8 graph that its gate lets through, the most sensitive stages kept high if need be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from ...calibration.accuracy import AccuracyCheck, median_ms
from ...calibration.ranges import Ranges
from ...engines.bundle.bundle import Bundle
from ...engines.errors import BuildError, ParityError
from ...engines.onnxruntime.quantizer import quantize_static
from ...engines.onnxruntime.session import OrtGraph, OrtSession
from ..export.onnx import strip_metadata
from .layers import KINDS, boundary_convolutions, described, excluded_nodes, int8_mac_share, quantizable, stages
from .qdq import insert_qdq, with_float_output

KEPT = (0, 1, 2, 4, 8)
"""How many of the most sensitive stages each try keeps high; the search ends with the first that is good enough."""
PROBES = 8
"""Inputs on which a stage's sensitivity is measured."""
QdqFormat = Literal["cpu", "tensorrt"]
"""Whom the INT8 graph is for: CPUs take unsigned activations and 7-bit weights, TensorRT what `insert_qdq` writes."""


@dataclass(frozen=True)
class QuantizationSource:
    """What is quantised.

    Args:
        path: ONNX file whose network is in FP32, or, for TensorRT, in FP16; what is kept high keeps its type.
        ranges: of its tensors.
        dialect: of the INT8 graph.
    """

    path: Path
    ranges: Ranges
    dialect: QdqFormat


@dataclass(frozen=True)
class Candidate:
    """One line of the card's table of what was tried.

    Args:
        kept_high: stages that kept their floats besides what always does.
        int8_share: of the convolutions' multiply-adds, 0..1.
        figure: see `AccuracyCheck`.
        drop: by how much it is below FP32's.
        time_ms: of a call on one thread of this CPU; none for TensorRT, whose device is elsewhere.
    """

    kept_high: tuple[str, ...]
    int8_share: float
    figure: float
    drop: float
    time_ms: float | None

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, rounded to what the digits are worth."""
        time = {} if self.time_ms is None else {"time_ms": round(self.time_ms, 2)}
        numbers = {name: round(getattr(self, name), 4) for name in ("int8_share", "figure", "drop")}
        return {"kept_high": list(self.kept_high), **numbers, **time}


@dataclass(frozen=True)
class Quantized:
    """What a search found.

    Args:
        always_high: what is never tried, in words.
        tried: every try, the last one being taken.
        harm: stage -> its share of the error that all of them make, each quantised alone, 0..1, the worst first;
            empty where the first try was good enough.
    """

    always_high: str
    tried: tuple[Candidate, ...]
    harm: dict[str, float]


def search(
    gate: AccuracyCheck, plain: Bundle, floats: QuantizationSource, draft: Bundle, report: Callable[[str], None]
) -> Quantized:
    """Quantise as much of a network as its gate allows.

    ONNX Runtime measures both dialects. It has no integer kernels between floats of 16 bits, so of a graph for TensorRT
    it computes what exact sums of 8-bit products give.

    Args:
        gate: what it is judged by.
        plain: the graph in FP32.
        floats: what is quantised.
        draft: where the INT8 graph is written.
        report: told a line after each try.

    Raises:
        ParityError: no try was good enough.
        BuildError: there is nothing to quantise, or it cannot be done.
    """
    model = onnx.load(floats.path)
    always, in_words, harm, tried = excluded_nodes(model), described(model), dict[str, float](), list[Candidate]()
    groups = {stage: [name for name in names if name not in always] for stage, names in stages(model).items()}
    groups = {stage: names for stage, names in groups.items() if names}
    if not groups:
        raise BuildError("the network has no convolution but those that stay in floats, so none to quantise")
    for count in [n for n in KEPT if n < len(groups)]:
        if count and not harm:
            harm = sensitivities(model, groups, gate, plain, floats)
            report(f"int8: shares of the loss: {', '.join(f'{stage} {part:.0%}' for stage, part in harm.items())}")
        high = tuple(harm)[:count]
        nodes = write(model, floats, draft.onnx, always.union(*(groups[stage] for stage in high)))
        session = OrtSession(draft)
        figure = gate.measure(session)
        session.close()
        drop = gate.expected - figure
        time_ms = _time(draft, gate) if floats.dialect == "cpu" else None
        tried.append(Candidate(high, int8_mac_share(model, nodes), figure, drop, time_ms))
        what = f"{', '.join(high)} kept high too" if high else f"all but the {in_words}"
        passed = drop <= gate.most_drop
        report(
            f"int8, {what}: {gate.words} {figure:.4f}, fp32 {gate.expected:.4f}: {'' if passed else 'not '}good enough"
        )
        if passed:
            return Quantized(in_words, tuple(tried), harm)
    raise ParityError(too_low("int8", gate, max(one.figure for one in tried)))


def too_low(precision: str, gate: AccuracyCheck, figure: float) -> str:
    """What to say of a network that its gate does not let through."""
    other = "--fp16 or --fp32" if precision == "int8" else "--fp32"
    return (
        f"the {precision} network is not good enough on {gate.whose}: {gate.words} {figure:.4f}, fp32 "
        f"{gate.expected:.4f}, a drop of {gate.expected - figure:.4f} where at most {gate.most_drop:g} is allowed; "
        f"build with {other}, or allow more with {gate.option}"
    )


def write(model: onnx.ModelProto, floats: QuantizationSource, target: Path, high: Collection[str]) -> list[str]:
    """Quantise a graph but for some convolutions and write it, free of the quantiser's notes.

    Returns:
        Names of the nodes that became INT8.
    """
    nodes = quantizable(model, high)
    if floats.dialect == "tensorrt":
        nodes = [node.name for node in model.graph.node if node.op_type == "Conv" and node.name in nodes]
        made = insert_qdq(model, nodes, floats.ranges)
    else:
        kinds = {node.op_type for node in model.graph.node if node.name in nodes}
        quantize_static(floats.path, target, nodes, [kind for kind in KINDS if kind in kinds], floats.ranges)
        made = with_float_output(onnx.load(target), model, boundary_convolutions(model)[1].intersection(nodes))
    onnx.save(strip_metadata(made), target)
    return nodes


def sensitivities(
    model: onnx.ModelProto,
    groups: Mapping[str, Collection[str]],
    gate: AccuracyCheck,
    plain: Bundle,
    floats: QuantizationSource,
) -> dict[str, float]:
    """What each stage, quantised alone, does to the output: its share of all that they do, 0..1, the worst first.

    Errors of many roundings add up by their squares.
    """
    probes = gate.batches[:PROBES]
    every = {name for names in groups.values() for name in names} | excluded_nodes(model)
    expected = _run(plain.onnx, probes)
    harm: dict[str, float] = {}
    with TemporaryDirectory() as workshop:
        path = Path(workshop) / "probe.onnx"
        for stage, names in groups.items():
            write(model, floats, path, every - {*names})
            harm[stage] = float(
                np.mean([max_abs_error(e, g) ** 2 for e, g in zip(expected, _run(path, probes), strict=True)])
            )
    total = sum(harm.values()) or 1.0
    return {stage: part / total for stage, part in sorted(harm.items(), key=lambda item: -item[1])}


def max_abs_error(expected: NDArray[Any], got: NDArray[Any]) -> float:
    """Mean error of pixels (N, H, W, 3), or of a detector's maps (N, A, 15).

    Maps are weighted by the scores: boxes and landmarks far from any face are never looked at.
    """
    error = np.abs(expected.astype(np.float64) - got)
    return float(error.mean() if expected.ndim == 4 else np.average(error.mean(-1), weights=expected[..., 0] + 1e-9))


def _run(path: Path, batches: list[NDArray[np.uint8]]) -> list[NDArray[Any]]:
    graph = OrtGraph(path)
    return [graph.run(batch)[0] for batch in batches]


def _time(draft: Bundle, gate: AccuracyCheck) -> float:
    session = OrtSession(draft, 1)  # threads would wait for whoever else is at work
    (taken,) = median_ms((session,), gate.timed)
    session.close()
    return taken
