"""TensorRT: the one file that imports it, which release it is, and what it logs."""

from __future__ import annotations

import threading
from collections import deque
from functools import cache
from typing import Any, TextIO
from weakref import WeakSet

from ..errors import EngineError, MissingDependencyError

OLDEST = (10, 3)
"""The first release whose names are those that are asked for here; JetPack 6.1 has it."""
KEPT = 2000
"""Most messages that a log keeps: of a long build the last ones."""
_TOLD = ("internal_error", "error", "warning", "info")


def tensorrt() -> Any:
    """The module; it is untyped, and its names differ by release.

    Raises:
        MissingDependencyError: it is not installed.
        EngineError: its libraries are missing, or it is older than `OLDEST`.
    """
    try:
        import tensorrt
    except ModuleNotFoundError:
        raise MissingDependencyError("TensorRT", "tensorrt", "an engine for this GPU") from None
    except (ImportError, OSError) as error:
        raise EngineError(
            f"TensorRT is installed and cannot be loaded: {one_line(str(error))}; install its libraries of the same "
            "version, or put their folder on LD_LIBRARY_PATH"
        ) from None
    if release(tensorrt) < OLDEST:
        raise EngineError(
            f"expected TensorRT {'.'.join(map(str, OLDEST))} or later, found {tensorrt.__version__}; "
            "upgrade it (on a Jetson: JetPack 6.1 or later), or use --engine onnxruntime"
        )
    return tensorrt


def version() -> str:
    """Version of TensorRT, e.g. "10.3.0".

    Raises:
        MissingDependencyError, EngineError: see `tensorrt`.
    """
    return str(tensorrt().__version__)


def release(trt: Any) -> tuple[int, int]:
    """Major and minor number of a TensorRT module."""
    major, minor = str(trt.__version__).split(".")[:2]
    return int(major), int(minor)


class Log:
    """What TensorRT said: it explains a failure to its logger alone, and returns nothing.

    Messages come from threads of TensorRT's own.

    Args:
        verbose: a file open for writing that is given every message, the verbose ones too; none to drop those.
    """

    def __init__(self, verbose: TextIO | None = None) -> None:
        self._verbose, self._lock = verbose, threading.RLock()
        self._told: deque[tuple[str, str]] = deque(maxlen=KEPT)

    def add(self, severity: str, text: str) -> None:
        """Keep a message; never raises, for its caller is no Python code."""
        with self._lock:
            if severity in _TOLD:
                self._told.append((severity, one_line(text)))
            if self._verbose:
                try:
                    self._verbose.write(f"{severity}: {text}\n")
                except (OSError, ValueError) as error:  # a full disk, or a file closed before TensorRT was done
                    self._verbose = None
                    self._told.append(("warning", f"the log file ends early: {error}"))

    @property
    def lines(self) -> tuple[str, ...]:
        """All but the verbose messages, each with its severity: "warning: …"."""
        with self._lock:
            return tuple(f"{severity}: {text}" for severity, text in self._told)

    @property
    def errors(self) -> tuple[str, ...]:
        """The errors, oldest first."""
        with self._lock:
            return tuple(text for severity, text in self._told if severity in ("error", "internal_error"))

    @property
    def last_error(self) -> str:
        """The newest error in one line, or that there is none."""
        return self.errors[-1] if self.errors else "TensorRT gave no reason"


_LOGS: WeakSet[Log] = WeakSet()
_LOGS_LOCK = threading.RLock()  # a collection within it may destroy an object of TensorRT that has something to say


def logger(trt: Any, log: Log) -> Any:
    """The TensorRT logger of this process, which from now on fills this log too, for as long as somebody holds it.

    One for all and for good: TensorRT keeps the first that it is given, and would still call it when it is gone.
    """
    with _LOGS_LOCK:
        _LOGS.add(log)
    return _logger_of(trt.ILogger)


@cache
def _logger_of(base: Any) -> Any:
    class Logger(base):  # type: ignore[misc]  # the module is untyped
        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            with _LOGS_LOCK:
                logs = list(_LOGS)
            for log in logs:
                log.add(severity.name.lower(), msg)

    return Logger()


def one_line(text: str, most: int = 300) -> str:
    """The text without its line breaks, cut where it is too long to read."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
