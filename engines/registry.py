"""Which runtime runs a bundle: the registry that each runtime joins, and what "auto" takes."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass

from .bundle.bundle import FP16_ONNX, Bundle
from .errors import EngineError, UnknownNameError
from .onnxruntime.session import OrtSession
from .openvino.session import OvSession, installed
from .session import Session


def _tensorrt(bundle: Bundle, threads: int) -> Session:
    _refuse_references(bundle)
    from .tensorrt.session import TrtSession

    return TrtSession(bundle)


def _openvino(bundle: Bundle, threads: int) -> Session:
    _refuse_references(bundle)
    return OvSession(bundle, threads)


def _refuse_references(bundle: Bundle) -> None:
    if bundle.card.io_spec.references:
        raise EngineError(f"{bundle.card.name} borrows from references, which runs in ONNX Runtime; leave --engine out")


ENGINES: dict[str, Callable[[Bundle, int], Session]] = {
    "tensorrt": _tensorrt,
    "openvino": _openvino,
    "onnxruntime": OrtSession,
}
"""Engine name -> how a session is made from a bundle and a number of threads; the fastest first."""
QUICKER_IN_OPENVINO = ("fp16", "int8")
"""Precisions that "auto" runs in OpenVINO where that is installed, on processors of the kind that was measured.

Time in OpenVINO 2026.4 over time in ONNX Runtime 1.31, medians of calls in turn, on two cores of an AMD EPYC with AVX2
and no VNNI, beside two other busy processes:

                                      one thread          two threads
                                  fp32  fp16  int8     fp32  fp16  int8
    idrn-x4, one face of 32 px    0.96  0.75  0.78     0.70  0.53  0.80
    idrn-x4, one face of 64 px    0.95   -    0.79     0.70   -    0.59
    idrn-x4, eight of 32 px       0.91   -    0.72     0.76   -    0.50
    detector, 640x384             1.35  0.75  0.85     1.29  0.71  0.77

FP32 stays in ONNX Runtime: on one thread it gains little, in the detector it loses, and each shape takes a quarter of a
second to compile. With two threads ONNX Runtime's wait for each other, which costs the more the busier the machine is.
"""


@dataclass(frozen=True)
class EngineChoice:
    """A runtime for a bundle.

    Args:
        engine: a key of `ENGINES`.
        why: it was taken, in words.
    """

    engine: str
    why: str


def choose_engine(bundle: Bundle, engine: str = "auto") -> EngineChoice:
    """Which runtime runs a bundle. Depends on the bundle and on what is installed, never on what fails.

    Args:
        bundle: what to run.
        engine: a key of `ENGINES`, or "auto": TensorRT where the bundle has an engine; OpenVINO where it is installed
            and was measured to be quicker, see `QUICKER_IN_OPENVINO`; or else ONNX Runtime.

    Raises:
        UnknownNameError: no engine of that name.
    """
    if engine not in ("auto", *ENGINES):
        raise UnknownNameError("engine", engine, ["auto", *ENGINES])
    if engine != "auto":
        return EngineChoice(engine, "as asked")
    made = bundle.card.engine
    if made:
        return EngineChoice("tensorrt", f"the bundle has an engine of {made.runtime} {made.version} for {made.gpu}")
    if _quicker_in_openvino(bundle):
        return EngineChoice(
            "openvino", f"no compiled engine, and on CPUs OpenVINO is quicker in {bundle.card.precision}"
        )
    return EngineChoice("onnxruntime", "the bundle has no compiled engine")


def _quicker_in_openvino(bundle: Bundle) -> bool:
    fits = bundle.card.precision in QUICKER_IN_OPENVINO and not bundle.card.io_spec.references
    fits = fits and FP16_ONNX not in bundle.card.files  # TensorRT's dialect of INT8 was not measured
    return fits and platform.machine().lower() in ("x86_64", "amd64") and installed()


def open_session(bundle: Bundle, engine: str = "auto", threads: int = 0) -> Session:
    """Load a bundle into a runtime.

    Args:
        bundle: what to run.
        engine: see `choose_engine`.
        threads: CPU threads of one call; 0 for one a core.

    Raises:
        UnknownNameError: no engine of that name.
        EngineError, MissingDependencyError: it cannot be loaded here. Nothing else is tried in its stead.
    """
    return ENGINES[choose_engine(bundle, engine).engine](bundle, threads)
