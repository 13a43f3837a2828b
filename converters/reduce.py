"""A network in FP32 -> the same in fewer bits, let through by its gate, with what the card says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..calibration.gate import Gate, milliseconds
from ..engines.bundle import Bundle
from ..engines.card import Card
from ..engines.errors import ParityError
from ..engines.ort import OrtSession
from .convert import Subject, halve, hold
from .search import search, too_low


def reduced(what: Subject, gate: Gate | None, plain: Bundle, draft: Bundle, report: Callable[[str], None]) -> Card:
    """Halve or quantise a network, as the draft's card says.

    Args:
        what: the network, and what it is compared on.
        gate: what it is judged by; none where agreement with PyTorch is enough.
        plain: its graph in FP32.
        draft: where the new graph is written, and its card.
        report: told a line after each step.

    Returns:
        The draft's card with the new parity, quality and notes.

    Raises:
        ParityError: it is not good enough.
        BuildError: it cannot be done.
    """
    card, precision = draft.card, draft.card.precision
    more: dict[str, Any] = {}
    if precision == "int8":
        assert gate is not None
        found = search(gate, plain, draft, report)
        figure = found.figure
        more = {
            "int8_share_of_convolutions": round(found.share, 4),
            "kept_high": ["first and last convolutions", *found.kept_high],
            "tried": list(found.tried),
        }
        parity = hold(what, "int8", draft.onnx, report)
    else:
        parity = halve(what, draft.onnx, report)
    card = replace(card, parity={**card.parity, **parity})
    if gate is None:
        return card
    session, reference = OrtSession(draft, 1), OrtSession(plain, 1)  # threads would wait for whoever else is at work
    if precision != "int8":
        figure = gate.measure(session)
        if not gate.expected - figure <= gate.most_drop:
            raise ParityError(too_low(precision, gate, figure))
    ours_ms, plain_ms = milliseconds((session, reference), gate.timed)
    ours, theirs = (bundle.onnx.stat().st_size for bundle in (draft, plain))
    height, width = gate.timed.shape[1:3]
    on = f"{width}x{height} px, {session.runtime}"
    session.close()
    reference.close()
    report(
        f"{precision}: {gate.words} {figure:.4f}, fp32 {gate.expected:.4f} on {gate.whose}; "
        f"{ours_ms:.2f} ms, fp32 {plain_ms:.2f} ms at {on}; {ours / 1e3:.0f} kB, fp32 {theirs / 1e3:.0f} kB"
    )
    told = {
        gate.figure: round(figure, 4),
        f"fp32_{gate.figure}": round(gate.expected, 4),
        "drop": round(gate.expected - figure, 4),
        "most_drop": gate.most_drop,
        "time_ms": round(ours_ms, 2),
        "fp32_time_ms": round(plain_ms, 2),
        "time_of_fp32": round(ours_ms / plain_ms, 2),
        "timed_on": on,
        "bytes": ours,
        "fp32_bytes": theirs,
        **more,
    }
    notes = card.notes
    if ours_ms > plain_ms:
        notes += (
            f"{precision} is slower than fp32 where it was built: {ours_ms:.2f} ms for {plain_ms:.2f} at {on}; "
            "measure it on your device before choosing it",
        )
    return replace(card, quality={**card.quality, f"{precision} beside fp32, {gate.whose}": told}, notes=notes)
