"""Which combinations of runtime, precision and workers may run a bundle on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from ..bundle.bundle import Bundle
from ..bundle.card import Card
from ..cpu import has_bf16, usable_cores
from ..workers import MAX_WORKERS

RUNTIMES = ("onnxruntime", "openvino")
"""Runtimes for CPUs; where they are equally fast, the first is chosen. Each is the name of its package too."""
MAX_LOSS = {"super-resolution": 0.05, "face-detection": 0.01}
"""Largest accepted loss of a precision on the card: PSNR in dB, and average precision, 0..1."""
UNITS = {"super-resolution": "dB", "face-detection": "of average precision"}
_LOSSES = ("drop_db", "drop", "vnni_drop_db", "vnni_drop")


@dataclass(frozen=True)
class Candidate:
    """A combination to measure.

    Args:
        engine: "onnxruntime" or "openvino".
        precision: that runs.
        workers: calls that run at once, see `OrtSession`.
    """

    engine: str
    precision: str
    workers: int = 1


@dataclass(frozen=True)
class LeftOut:
    """A combination that is not measured, and why."""

    engine: str
    precision: str
    reason: str


def loss(card: Card, precision: str) -> float | None:
    """Largest loss of a precision on the card, see `MAX_LOSS`; None if it was not evaluated."""
    metrics = [one.metrics for one in card.evaluations if one.precision == precision]
    losses = [one[key] for one in metrics for key in _LOSSES if isinstance(one.get(key), (int, float))]
    return max(losses, default=None)


def candidates(
    bundle: Bundle, engine: str = "auto", threads: int = 0, precision: str = "auto"
) -> tuple[tuple[Candidate, ...], tuple[LeftOut, ...]]:
    """The candidates for a bundle, and the combinations that are left out.

    Args:
        bundle: to run.
        engine: "auto" for every runtime, or the only one.
        threads: CPU threads; 0 for one per core.
        precision: "auto" for every precision whose loss is small enough, or the only one, whatever its loss.
    """
    chosen: list[Candidate] = []
    left_out: list[LeftOut] = []
    for runtime, kind in _combinations(bundle):
        if engine not in ("auto", runtime) or precision not in ("auto", kind):
            continue
        reason = _problem(bundle.card, runtime, kind, precision)
        if reason:
            left_out.append(LeftOut(runtime, kind, reason))
        else:
            chosen += [Candidate(runtime, kind, workers) for workers in worker_counts(bundle, threads)]
    return tuple(chosen), tuple(left_out)


def worker_counts(bundle: Bundle, threads: int) -> tuple[int, ...]:
    """Numbers of workers to measure, the default first; a detector runs one call per frame."""
    most = min(threads or usable_cores(), MAX_WORKERS)
    return (most, 1) if most > 1 and bundle.card.io_spec.task == "super-resolution" else (1,)


def _combinations(bundle: Bundle) -> Iterator[tuple[str, str]]:
    for runtime in RUNTIMES:
        for precision in bundle.precisions:
            yield runtime, precision
        if runtime == "openvino" and "fp32" in bundle.precisions:
            yield runtime, "bf16"


def _problem(card: Card, runtime: str, kind: str, precision: str) -> str:
    """Why a combination is left out; "" if it is not."""
    if find_spec(runtime) is None:
        return f"{runtime} is not installed"
    if kind == "bf16" and not has_bf16():
        return "the processor has no bfloat16"
    if kind == "bf16" and card.io_spec.references:
        return "references are matched in FP32"
    if precision != "auto" or kind == card.precision:
        return ""
    drop, limit = loss(card, kind), MAX_LOSS[card.io_spec.task]
    if drop is None:
        return f"the card has no evaluation of {kind}"
    return "" if drop <= limit else f"loses {drop:.3f} {UNITS[card.io_spec.task]}, limit {limit:g}"
