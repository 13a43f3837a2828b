"""The registry of runtimes, and the choice of the runtime that runs a bundle."""

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
    _check_no_references(bundle)
    from .tensorrt.session import TrtSession

    return TrtSession(bundle)


def _openvino(bundle: Bundle, threads: int) -> Session:
    _check_no_references(bundle)
    return OvSession(bundle, threads)


def _check_no_references(bundle: Bundle) -> None:
    if bundle.card.io_spec.references:
        raise EngineError(f"{bundle.card.name} uses references, which only ONNX Runtime supports; omit --engine")


ENGINES: dict[str, Callable[[Bundle, int], Session]] = {
    "tensorrt": _tensorrt,
    "openvino": _openvino,
    "onnxruntime": OrtSession,
}
"""Engine name -> function of a bundle and a number of threads that returns a session; fastest first."""
OPENVINO_PRECISIONS = ("fp16", "int8")
"""Precisions for which "auto" selects OpenVINO on x86-64, if it is installed.

Latency of OpenVINO 2026.4 divided by that of ONNX Runtime 1.31, medians of interleaved calls on two cores of an AMD
EPYC with AVX2 and without VNNI, with two other busy processes:

                                      one thread          two threads
                                  fp32  fp16  int8     fp32  fp16  int8
    idrn-x4, one face of 32 px    0.96  0.75  0.78     0.70  0.53  0.80
    idrn-x4, one face of 64 px    0.95   -    0.79     0.70   -    0.59
    idrn-x4, eight of 32 px       0.91   -    0.72     0.76   -    0.50
    detector, 640x384             1.35  0.75  0.85     1.29  0.71  0.77

FP32 runs in ONNX Runtime: on one thread OpenVINO is barely faster, the detector is slower, and each shape takes 0.25 s
to compile. On two threads ONNX Runtime's thread synchronization is slow, more so on a busy machine.
"""


@dataclass(frozen=True)
class EngineChoice:
    """The runtime for a bundle.

    Args:
        engine: a key of `ENGINES`.
        reason: why it was selected, for the user.
    """

    engine: str
    reason: str


def choose_engine(bundle: Bundle, engine: str = "auto") -> EngineChoice:
    """Select the runtime for a bundle. Depends only on the bundle and on the installed packages; there is no fallback.

    Args:
        bundle: to run.
        engine: a key of `ENGINES`, or "auto": TensorRT if the bundle has an engine, OpenVINO if it is installed and
            was faster in measurements (see `OPENVINO_PRECISIONS`), otherwise ONNX Runtime.

    Raises:
        UnknownNameError: no engine of that name.
    """
    if engine not in ("auto", *ENGINES):
        raise UnknownNameError("engine", engine, ["auto", *ENGINES])
    if engine != "auto":
        return EngineChoice(engine, "selected by the user")
    if info := bundle.card.engine:
        return EngineChoice("tensorrt", f"the bundle has an engine of {info.runtime} {info.version} for {info.gpu}")
    if _openvino_is_faster(bundle):
        reason = f"no compiled engine, and OpenVINO is faster on CPUs in {bundle.card.precision}"
        return EngineChoice("openvino", reason)
    return EngineChoice("onnxruntime", "the bundle has no compiled engine")


def _openvino_is_faster(bundle: Bundle) -> bool:
    supported = bundle.card.precision in OPENVINO_PRECISIONS and not bundle.card.io_spec.references
    measured = FP16_ONNX not in bundle.card.files  # INT8 graphs for TensorRT were not measured
    return supported and measured and platform.machine().lower() in ("x86_64", "amd64") and installed()


def open_session(bundle: Bundle, engine: str = "auto", threads: int = 0) -> Session:
    """Load a bundle into a runtime.

    Args:
        bundle: to run.
        engine: see `choose_engine`.
        threads: CPU threads of one call; 0 for one per core.

    Raises:
        UnknownNameError: no engine of that name.
        EngineError, MissingDependencyError: it cannot be loaded. No other engine is tried.
    """
    return ENGINES[choose_engine(bundle, engine).engine](bundle, threads)
