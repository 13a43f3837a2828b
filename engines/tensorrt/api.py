"""TensorRT import, version check and log; the only file that imports TensorRT."""

from __future__ import annotations

import threading
from collections import deque
from functools import cache
from typing import Any, TextIO
from weakref import WeakSet

from ..errors import EngineError, MissingDependencyError

MIN_VERSION = (10, 3)
"""Oldest supported release, the one of JetPack 6.1; older ones lack names that this package uses."""
MAX_MESSAGES = 2000
"""Messages that a log keeps; the oldest are dropped first."""
_SEVERITIES = ("internal_error", "error", "warning", "info")


def tensorrt() -> Any:
    """Import TensorRT; the module is untyped, and its names differ between releases.

    Raises:
        MissingDependencyError: it is not installed.
        EngineError: its libraries are missing, or it is older than `MIN_VERSION`.
    """
    try:
        import tensorrt
    except ModuleNotFoundError:
        raise MissingDependencyError("TensorRT", "tensorrt", "an engine for this GPU") from None
    except (ImportError, OSError) as error:
        raise EngineError(
            f"TensorRT is installed but cannot be loaded: {one_line(str(error))}; install its libraries of the same "
            "version, or add their folder to LD_LIBRARY_PATH"
        ) from None
    if release(tensorrt) < MIN_VERSION:
        raise EngineError(
            f"expected TensorRT {'.'.join(map(str, MIN_VERSION))} or later, found {tensorrt.__version__}; "
            "upgrade it (on a Jetson: JetPack 6.1 or later), or use --engine onnxruntime"
        )
    return tensorrt


def version() -> str:
    """Version of TensorRT, e.g. "10.3.0"; raises the exceptions of `tensorrt`."""
    return str(tensorrt().__version__)


def release(trt: Any) -> tuple[int, int]:
    """Major and minor version of a TensorRT module."""
    major, minor = str(trt.__version__).split(".")[:2]
    return int(major), int(minor)


class Log:
    """Messages of TensorRT, which reports the reason of a failure only to its logger.

    Thread-safe: TensorRT logs from its own threads.

    Args:
        verbose: text file that receives every message, verbose ones included; None: those are dropped.
    """

    def __init__(self, verbose: TextIO | None = None) -> None:
        self._verbose, self._lock = verbose, threading.RLock()
        self._messages: deque[tuple[str, str]] = deque(maxlen=MAX_MESSAGES)

    def add(self, severity: str, text: str) -> None:
        """Add a message; never raises, since it is called from C++."""
        with self._lock:
            if severity in _SEVERITIES:
                self._messages.append((severity, one_line(text)))
            if self._verbose:
                try:
                    self._verbose.write(f"{severity}: {text}\n")
                except (OSError, ValueError) as error:  # disk full, or the file was closed before TensorRT finished
                    self._verbose = None
                    self._messages.append(("warning", f"the log file is incomplete: {error}"))

    @property
    def lines(self) -> tuple[str, ...]:
        """All messages except verbose ones, with their severity: "warning: …"."""
        with self._lock:
            return tuple(f"{severity}: {text}" for severity, text in self._messages)

    @property
    def errors(self) -> tuple[str, ...]:
        """Error messages, oldest first."""
        with self._lock:
            return tuple(text for severity, text in self._messages if severity in ("error", "internal_error"))

    @property
    def last_error(self) -> str:
        """Newest error in one line, or a text that there is none."""
        return self.errors[-1] if self.errors else "TensorRT gave no reason"


_LOGS: WeakSet[Log] = WeakSet()
_LOGS_LOCK = threading.RLock()  # reentrant: garbage collection may destroy a TensorRT object, which logs


def logger(trt: Any, log: Log) -> Any:
    """The TensorRT logger of this process, which also writes to `log` from now on, as long as `log` is referenced.

    One logger per process, never destroyed: TensorRT keeps using the first logger that it is given.
    """
    with _LOGS_LOCK:
        _LOGS.add(log)
    return _process_logger(trt.ILogger)


@cache
def _process_logger(base: Any) -> Any:
    class Logger(base):  # type: ignore[misc]  # the module is untyped
        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            with _LOGS_LOCK:
                logs = list(_LOGS)
            for log in logs:
                log.add(severity.name.lower(), msg)

    return Logger()


def one_line(text: str, max_length: int = 300) -> str:
    """Text without line breaks, truncated to `max_length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= max_length else line[: max_length - 1] + "…"
