"""The registry of runtimes, and the choice of the runtime, precision and number of workers that run a bundle."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from threading import Lock

import numpy as np

from .batching import check_threads, shapes_of
from .bundle.bundle import Bundle
from .errors import EngineError, UnknownNameError
from .onnxruntime.session import OrtSession
from .openvino.session import OvSession
from .session import MultiInputSession, Session
from .tensorrt.api import PRODUCTS, RTX, TENSORRT, Product
from .tuning.candidates import Candidate, LeftOut, candidates
from .tuning.record import read_record, write_record
from .tuning.trial import Measurement, fastest, quick_trial, run_trial

PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")
"""Precisions that a session may be opened in; "bf16" is the FP32 graph with arithmetic in bfloat16."""
NAMES = {**{one.engine: one.name for one in PRODUCTS.values()}, "openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}
Report = Callable[[str], None]
_logger = logging.getLogger(__name__)
_measuring = Lock()
"""Trials in several threads would slow each other down."""


def _tensorrt(product: Product, bundle: Bundle, threads: int, precision: str, workers: int) -> MultiInputSession:
    if precision != bundle.card.precision:
        raise EngineError(f"the engine of {bundle.card.name} is {bundle.card.precision}; omit --precision")
    from .tensorrt.session import TrtSession

    return TrtSession(bundle, product=product)


ENGINES: dict[str, Callable[[Bundle, int, str, int], MultiInputSession]] = {
    "tensorrt": partial(_tensorrt, TENSORRT),
    "tensorrt-rtx": partial(_tensorrt, RTX),
    "openvino": OvSession,
    "onnxruntime": OrtSession,
}
"""Engine name -> function of bundle, threads, precision and workers that returns a session."""


@dataclass(frozen=True)
class EngineChoice:
    """How to run a bundle.

    Args:
        engine: a key of `ENGINES`.
        precision: that runs.
        workers: calls that run at once, see `OrtSession`.
        reason: why it was selected, for the user.
    """

    engine: str
    precision: str
    workers: int
    reason: str

    def __str__(self) -> str:
        at_once = f", {self.workers} calls at once" if self.workers > 1 else ""
        return f"{NAMES[self.engine]} {self.precision}{at_once}: {self.reason}"


def choose_engine(
    bundle: Bundle,
    engine: str = "auto",
    threads: int = 0,
    precision: str = "auto",
    *,
    measure: bool = True,
    report: Report = lambda line: None,
) -> EngineChoice:
    """Select runtime, precision and number of workers for a bundle. There is no fallback.

    "auto" is TensorRT, or TensorRT for RTX, if the bundle has its engines. Otherwise the fastest of the `candidates` by
    measurement: a trial of at most 3 s when a bundle first runs on a machine, whose result is kept in the user's cache.
    Without a choice of runtime or precision nothing is measured, and super-resolution runs on several workers.

    Args:
        bundle: to run.
        engine: a key of `ENGINES`, or "auto".
        threads: CPU threads; 0 for one per core.
        precision: one of `PRECISIONS`.
        measure: measure if there is no record; otherwise the card's precision in the first runtime is chosen.
        report: called with a line before a trial.

    Raises:
        UnknownNameError: no engine or precision of that name.
        UsageError: an invalid number of threads.
        EngineError: the bundle is an uncertainty head.
    """
    if bundle.card.io_spec.task == "uncertainty":
        raise EngineError(f"{bundle.card.name} runs beside a model, see load(uncertainty=True); give another bundle")
    if engine not in ("auto", *ENGINES):
        raise UnknownNameError("engine", engine, ["auto", *ENGINES])
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    check_threads(threads)
    own = bundle.card.precision if precision == "auto" else precision
    if (info := bundle.card.engine) and engine == "auto" and own == bundle.card.precision:
        reason = f"the bundle has an engine of {info.runtime} {info.version} for {info.target}"
        return EngineChoice(PRODUCTS.get(info.runtime, TENSORRT).engine, own, 1, reason)
    choices, left_out = candidates(bundle, engine, threads, precision)
    for one in left_out:
        _logger.debug("%s: %s %s is left out: %s", bundle.card.name, one.engine, one.precision, one.reason)
    if not choices:  # opening it raises the error that says why
        default = "openvino" if precision == "bf16" else "onnxruntime"
        return EngineChoice(default if engine == "auto" else engine, own, 1, "selected by the user")
    if len({(one.engine, one.precision) for one in choices}) == 1:
        reason = "selected by the user" if engine != "auto" else "the only runtime and precision for this bundle"
        return EngineChoice(choices[0].engine, choices[0].precision, choices[0].workers, reason)
    with _measuring:
        measurements = read_record(bundle, choices, threads)
        if measurements is None and measure:
            report(f"choosing the fastest engine for {bundle.card.name} (once per machine)")
            measurements = _measure(bundle, choices, threads)
    return _choice(choices, measurements)


def _choice(choices: Sequence[Candidate], measurements: Sequence[Measurement] | None) -> EngineChoice:
    best = fastest(measurements or ())
    if best is None:
        reason = "not measured yet; run facesr-edge tune" if measurements is None else "nothing could be measured"
        return EngineChoice(choices[0].engine, choices[0].precision, choices[0].workers, reason)
    name, ms = list(best.ms.items())[-1]
    reason = f"the fastest of {sum(bool(one.ms) for one in measurements or ())} measured, {ms:.2f} ms at {name}"
    return EngineChoice(best.candidate.engine, best.candidate.precision, best.candidate.workers, reason)


def _measure(
    bundle: Bundle, choices: Sequence[Candidate], threads: int, *, complete: bool = False
) -> list[Measurement]:
    """Run a trial within the time limit, or a complete one, and keep its record."""

    def open_candidate(one: Candidate) -> MultiInputSession:
        return ENGINES[one.engine](bundle, threads, one.precision, one.workers)

    if complete:
        measurements = run_trial(choices, bundle.card.io_spec, open_candidate, inf, inf)
    else:
        measurements = quick_trial(choices, bundle.card.io_spec, open_candidate)
    write_record(bundle, choices, threads, measurements)
    return measurements


@dataclass(frozen=True)
class Tuning:
    """The result of `tune`.

    Args:
        choice: what "auto" takes from now on.
        measurements: of every candidate.
        left_out: what was not measured, and why.
    """

    choice: EngineChoice
    measurements: tuple[Measurement, ...]
    left_out: tuple[LeftOut, ...]


def tune(bundle: Bundle, threads: int = 0) -> Tuning:
    """Measure every candidate for a bundle on every input, without a time limit, and keep the result for "auto".

    Args:
        bundle: to run; with a TensorRT engine, "auto" takes that whatever the result.
        threads: CPU threads; 0 for one per core.
    """
    choices, left_out = candidates(bundle, threads=threads)
    measurements = _measure(bundle, choices, threads, complete=True)
    return Tuning(choose_engine(bundle, threads=threads), tuple(measurements), left_out)


def open_session(
    bundle: Bundle,
    engine: str = "auto",
    threads: int = 0,
    precision: str = "auto",
    *,
    report: Report = lambda line: None,
) -> MultiInputSession:
    """Load a bundle into a runtime.

    Args:
        bundle: to run.
        engine, threads, precision, report: see `choose_engine`.

    Raises:
        UnknownNameError: no engine or precision of that name.
        EngineError, MissingDependencyError: it cannot be loaded, or its output is not what the card says. No other
            engine is tried.
        BundleError: a file was altered.
    """
    choice = choose_engine(bundle, engine, threads, precision, report=report)
    _logger.info("%s runs in %s", bundle.card.name, choice)
    session = ENGINES[choice.engine](bundle, threads, choice.precision, choice.workers)
    check_outputs(session)
    return session


def check_outputs(session: Session) -> None:
    """Run the smallest input; close the session on an error.

    Raises:
        EngineError: it cannot run, or the output is not what the I/O specification states.
    """
    batch = np.zeros(min(shapes_of(session.io_spec)), np.uint8)
    try:
        session.io_spec.check_output(batch, session.infer(batch))
    except BaseException:
        session.close()
        raise
