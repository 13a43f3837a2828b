"""A network in FP32 -> the same in fewer bits, let through by its gate, with what the card says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ...calibration.accuracy import AccuracyCheck, median_ms
from ...calibration.ranges import activation_ranges, calibration_hash
from ...engines.bundle.bundle import FP16_ONNX, Bundle
from ...engines.bundle.card import Card
from ...engines.errors import ParityError
from ...engines.onnxruntime.quantizer import measured_ranges
from ...engines.onnxruntime.session import OrtSession
from ..export.convert import ExportTarget, export_fp16, verify
from .layers import KINDS, excluded_nodes
from .qdq import transfer_ranges
from .search import QdqFormat, QuantizationSource, search, too_low, write


def quantize(
    what: ExportTarget,
    gate: AccuracyCheck | None,
    plain: Bundle,
    draft: Bundle,
    report: Callable[[str], None],
    dialect: QdqFormat = "cpu",
    method: str = "minmax",
) -> Card:
    """Halve or quantise a network, as the draft's card says.

    Args:
        what: the network, and what it is compared on.
        gate: what it is judged by; none where agreement with PyTorch is enough.
        plain: its graph in FP32.
        draft: where the new graph is written, and its card; in INT8 for TensorRT, the FP16 graph beside it.
        report: told a line after each step.
        dialect: of INT8.
        method: of calibration: "minmax", "entropy" or "percentile".

    Returns:
        The draft's card with the new parity, quality and notes, and the hash of what INT8 was calibrated on.

    Raises:
        ParityError: it is not good enough.
        BuildError: it cannot be done.
    """
    card, precision = draft.card, draft.card.precision
    told: dict[str, Any] = {}
    if precision == "int8":
        assert gate is not None
        floats, parity = _floats(what, gate, plain, draft.folder / FP16_ONNX, report, dialect, method)
        found = search(gate, plain, floats, draft, report)
        taken = found.tried[-1]
        figure = taken.figure
        told = {
            "int8_share_of_convolutions": round(taken.int8_share, 4),
            "dialect": dialect,
            "calibration": method,
            "calibrated_on": f"{len(gate.batches)} inputs",
            "kept_high": [found.always_high, *taken.kept_high],
            "tried": [one.to_dict() for one in found.tried],
            "share_of_loss": {stage: round(part, 4) for stage, part in found.harm.items()},
        }
        parity = parity | verify(what, "int8", draft.onnx, report)
        card = replace(card, calibration=calibration_hash(gate.batches))
    else:
        parity = export_fp16(what, draft.onnx, report)
    card = replace(card, parity={**card.parity, **parity})
    if gate is None:
        return card
    if precision != "int8":
        session = OrtSession(draft)
        figure = gate.measure(session)
        session.close()
        if not gate.expected - figure <= gate.most_drop:
            raise ParityError(too_low(precision, gate, figure))
    ours, theirs = (bundle.onnx.stat().st_size for bundle in (draft, plain))
    report(
        f"{precision}: {gate.words} {figure:.4f}, fp32 {gate.expected:.4f} on {gate.whose}; "
        f"{ours / 1e3:.0f} kB, fp32 {theirs / 1e3:.0f} kB"
    )
    told = {
        gate.figure: round(figure, 4),
        f"fp32_{gate.figure}": round(gate.expected, 4),
        "drop": round(gate.expected - figure, 4),
        "most_drop": gate.most_drop,
        "bytes": ours,
        "fp32_bytes": theirs,
        **told,
    }
    if dialect == "cpu":
        card = _timed(card, gate, plain, draft, report, told)
    return replace(card, quality={**card.quality, beside_fp32(precision, gate.whose): told})


def beside_fp32(precision: str, whose: str) -> str:
    """Where a card's quality has the figures of both."""
    return f"{precision} beside fp32, {whose}"


def _floats(
    what: ExportTarget,
    gate: AccuracyCheck,
    plain: Bundle,
    halved: Path,
    report: Callable[[str], None],
    dialect: QdqFormat,
    method: str,
) -> tuple[QuantizationSource, dict[str, float]]:
    """What is quantised, and its parity: for TensorRT the graph in FP16. Ranges are FP32's, the same for all."""
    ranges = activation_ranges(plain.onnx, KINDS, gate.batches, method)
    if dialect == "cpu":
        return QuantizationSource(plain.onnx, ranges, dialect), {}
    parity = export_fp16(what, halved, report)
    return QuantizationSource(
        halved, transfer_ranges(ranges, onnx.load(plain.onnx), onnx.load(halved), KINDS), dialect
    ), parity


def _timed(
    card: Card, gate: AccuracyCheck, plain: Bundle, draft: Bundle, report: Callable[[str], None], told: dict[str, Any]
) -> Card:
    """Times of this CPU are told; if the network is slower than FP32, the card has a note."""
    sessions = OrtSession(draft, 1), OrtSession(plain, 1)  # threads would wait for whoever else is at work
    ours_ms, plain_ms = median_ms(sessions, gate.timed)
    height, width = gate.timed.shape[1:3]
    on = f"{width}x{height} px, {sessions[0].runtime}"
    for session in sessions:
        session.close()
    report(f"{card.precision}: {ours_ms:.2f} ms, fp32 {plain_ms:.2f} ms at {on}")
    told |= {
        "time_ms": round(ours_ms, 2),
        "fp32_time_ms": round(plain_ms, 2),
        "time_of_fp32": round(ours_ms / plain_ms, 2),
        "timed_on": on,
    }
    if ours_ms <= plain_ms:
        return card
    note = (
        f"{card.precision} is slower than fp32 where it was built: {ours_ms:.2f} ms for {plain_ms:.2f} at {on}; "
        "measure it on your device before choosing it"
    )
    return replace(card, notes=(*card.notes, note))


def ptq_unchecked(
    what: ExportTarget, plain: Path, path: Path, batches: Sequence[NDArray[np.uint8]], dialect: QdqFormat = "cpu"
) -> None:
    """Write the INT8 graph that a build tries first: all but the first convolution and a thin last one.

    Args:
        what: the network.
        plain: its ONNX file in FP32.
        path: where the INT8 graph is written; for TensorRT, the FP16 graph beside it.
        batches: (N, H, W, 3) uint8 inputs that show the ranges; they are not remembered.
        dialect: of INT8.

    Raises:
        BuildError: there is nothing to quantise, or it cannot be done.
    """
    ranges = measured_ranges(plain, KINDS, batches)
    floats = QuantizationSource(plain, ranges, dialect)
    if dialect == "tensorrt":
        halved = path.with_name(FP16_ONNX)
        export_fp16(what, halved, lambda line: None)
        floats = QuantizationSource(
            halved, transfer_ranges(ranges, onnx.load(plain), onnx.load(halved), KINDS), dialect
        )
    model = onnx.load(floats.path)
    write(model, floats, path, excluded_nodes(model))
