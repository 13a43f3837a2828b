"""FP32 graph -> INT8 graph that its gate lets through, the most sensitive stages kept high if need be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..calibration.gate import Gate
from ..engines.bundle import Bundle
from ..engines.errors import BuildError, ParityError
from ..engines.ort import Graph, OrtSession
from ..engines.ort_quantise import quantise
from .layers import KINDS, ends, quantisable, share, stages
from .trace import without_notes

KEPT = (0, 1, 2, 4, 8)
"""How many of the most sensitive stages each try keeps high; the search ends with the first that is good enough."""
PROBES = 8
"""Inputs on which a stage's sensitivity is measured."""


@dataclass(frozen=True)
class Quantised:
    """What a search found.

    Args:
        figure: of the INT8 graph, see `Gate`.
        kept_high: stages that keep FP32 besides the first and last convolutions.
        share: of the convolutions' multiply-adds that are INT8, 0..1.
        tried: every try in words, the last one being taken.
    """

    figure: float
    kept_high: tuple[str, ...]
    share: float
    tried: tuple[str, ...]


def search(gate: Gate, plain: Bundle, draft: Bundle, report: Callable[[str], None]) -> Quantised:
    """Quantise as much of a network as its gate allows.

    Args:
        gate: what it is calibrated on and judged by.
        plain: the graph in FP32.
        draft: where the INT8 graph is written.
        report: told a line after each try.

    Raises:
        ParityError: no try was good enough.
        BuildError: there is nothing to quantise, or it cannot be done.
    """
    model = onnx.load(plain.onnx)
    always, order, tried = ends(model), list[str](), list[str]()
    groups = {stage: [name for name in names if name not in always] for stage, names in stages(model).items()}
    groups = {stage: names for stage, names in groups.items() if names}
    if not groups:
        raise BuildError("the network has no convolution between its first and its last, so none to quantise")
    best = -np.inf
    for count in [n for n in KEPT if n < len(groups)]:
        if count and not order:
            order = by_sensitivity(model, groups, gate, plain)
            report(f"int8: stages by sensitivity: {', '.join(order)}")
        kept = order[:count]
        nodes = quantisable(model, always.union(*(groups[stage] for stage in kept)))
        write(model, plain.onnx, draft.onnx, nodes, gate.batches)
        session = OrtSession(draft)
        figure = gate.measure(session)
        session.close()
        best = max(best, figure)
        passed = gate.expected - figure <= gate.most_drop
        what = f"{', '.join(kept)} kept high too" if kept else "all but the first and last convolutions"
        tried.append(f"{what}: {gate.words} {figure:.4f}, fp32 {gate.expected:.4f}")
        report(f"int8, {tried[-1]}: {'good' if passed else 'not good'} enough")
        if passed:
            return Quantised(figure, tuple(kept), share(model, nodes), tuple(tried))
    raise ParityError(too_low("int8", gate, best))


def too_low(precision: str, gate: Gate, figure: float) -> str:
    """What to say of a network that its gate does not let through."""
    other = "--fp16 or --fp32" if precision == "int8" else "--fp32"
    return (
        f"the {precision} network is not good enough on {gate.whose}: {gate.words} {figure:.4f}, fp32 "
        f"{gate.expected:.4f}, a drop of {gate.expected - figure:.4f} where at most {gate.most_drop:g} is allowed; "
        f"build with {other}, or allow more with {gate.option}"
    )


def write(
    model: onnx.ModelProto, source: Path, target: Path, nodes: list[str], batches: list[NDArray[np.uint8]]
) -> None:
    """Quantise some nodes of a graph and write it, free of the quantiser's notes."""
    kinds = {node.op_type for node in model.graph.node if node.name in nodes}
    quantise(source, target, nodes, [kind for kind in KINDS if kind in kinds], batches)
    onnx.save(without_notes(onnx.load(target)), target)


def by_sensitivity(model: onnx.ModelProto, groups: dict[str, list[str]], gate: Gate, plain: Bundle) -> list[str]:
    """Stages in the order of what each, quantised alone, does to the output; the worst first."""
    probes = gate.batches[:PROBES]
    every = {name for names in groups.values() for name in names} | ends(model)
    expected = [_run(plain.onnx, batch) for batch in probes]
    harm: dict[str, float] = {}
    with TemporaryDirectory() as workshop:
        path = Path(workshop) / "probe.onnx"
        for stage, names in groups.items():
            write(model, plain.onnx, path, quantisable(model, every - set(names)), probes)
            got = [_run(path, batch) for batch in probes]
            harm[stage] = float(np.mean([departure(e, g) for e, g in zip(expected, got, strict=True)]))
    return sorted(harm, key=lambda stage: -harm[stage])


def departure(expected: NDArray[Any], got: NDArray[Any]) -> float:
    """Mean error of pixels (N, H, W, 3), or of a detector's maps (N, A, 15).

    Maps are weighted by the scores: boxes and landmarks far from any face are never looked at.
    """
    error = np.abs(expected.astype(np.float64) - got)
    return float(error.mean() if expected.ndim == 4 else np.average(error.mean(-1), weights=expected[..., 0] + 1e-9))


def _run(path: Path, batch: NDArray[np.uint8]) -> NDArray[Any]:
    return Graph(path).run(batch)[0]
