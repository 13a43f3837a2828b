"""Which runtime runs a bundle: the registry that each runtime joins, and what "auto" takes."""

from __future__ import annotations

from collections.abc import Callable

from .bundle import Bundle
from .errors import UnknownNameError
from .ort import OrtSession
from .session import Session

ENGINES: dict[str, Callable[[Bundle, int], Session]] = {
    "onnxruntime": OrtSession,
}
"""Engine name -> how a session is made from a bundle and a number of threads; the fastest first."""


def open_session(bundle: Bundle, engine: str = "auto", threads: int = 0) -> Session:
    """Load a bundle into a runtime.

    Args:
        bundle: what to run.
        engine: a key of `ENGINES`, or "auto" for the fastest that this machine has.
        threads: CPU threads of one call; 0 for one a core.

    Raises:
        UnknownNameError: no engine of that name.
        EngineError, MissingDependencyError: it cannot be loaded here. Nothing else is tried in its stead.
    """
    if engine == "auto":
        engine = next(iter(ENGINES))
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ["auto", *ENGINES])
    return ENGINES[engine](bundle, threads)
