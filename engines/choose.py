"""Which runtime runs a bundle: the registry that each runtime joins, and what "auto" takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .bundle import Bundle
from .errors import EngineError, UnknownNameError
from .ort import OrtSession
from .ov import OvSession
from .session import Session


def _tensorrt(bundle: Bundle, threads: int) -> Session:
    _refuse_references(bundle)
    from .trt_session import TrtSession

    return TrtSession(bundle)


def _openvino(bundle: Bundle, threads: int) -> Session:
    _refuse_references(bundle)
    return OvSession(bundle, threads)


def _refuse_references(bundle: Bundle) -> None:
    if bundle.card.contract.references:
        raise EngineError(f"{bundle.card.name} borrows from references, which runs in ONNX Runtime; leave --engine out")


ENGINES: dict[str, Callable[[Bundle, int], Session]] = {
    "tensorrt": _tensorrt,
    "openvino": _openvino,
    "onnxruntime": OrtSession,
}
"""Engine name -> how a session is made from a bundle and a number of threads; the fastest first."""


@dataclass(frozen=True)
class Choice:
    """A runtime for a bundle.

    Args:
        engine: a key of `ENGINES`.
        why: it was taken, in words.
    """

    engine: str
    why: str


def choose(bundle: Bundle, engine: str = "auto") -> Choice:
    """Which runtime runs a bundle. Depends on the bundle alone: the same folder never runs in another one unasked.

    Args:
        bundle: what to run.
        engine: a key of `ENGINES`, or "auto": TensorRT where the bundle has an engine, or else ONNX Runtime.

    Raises:
        UnknownNameError: no engine of that name.
    """
    if engine not in ("auto", *ENGINES):
        raise UnknownNameError("engine", engine, ["auto", *ENGINES])
    if engine != "auto":
        return Choice(engine, "as asked")
    made = bundle.card.engine
    if made:
        return Choice("tensorrt", f"the bundle has an engine of {made.runtime} {made.version} for {made.gpu}")
    return Choice("onnxruntime", "the bundle has no compiled engine")


def open_session(bundle: Bundle, engine: str = "auto", threads: int = 0) -> Session:
    """Load a bundle into a runtime.

    Args:
        bundle: what to run.
        engine: see `choose`.
        threads: CPU threads of one call; 0 for one a core.

    Raises:
        UnknownNameError: no engine of that name.
        EngineError, MissingDependencyError: it cannot be loaded here. Nothing else is tried in its stead.
    """
    return ENGINES[choose(bundle, engine).engine](bundle, threads)
