"""Import of TensorRT and TensorRT for RTX, version check and log; the only file that imports them."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, TextIO
from weakref import WeakSet

from ..cuda.extra import gpu_extra, rtx_extra
from ..errors import EngineError, MissingDependencyError
from ..jetson import TENSORRT_COMMAND, this_jetson
from .layers import LOG_TITLE


@dataclass(frozen=True)
class Product:
    """A product with the TensorRT API.

    Args:
        name: for messages and cards.
        engine: its key in the registry of runtimes.
        module: Python module.
        min_version: oldest supported release, as older ones lack names that this package uses.
        remedy: what to do if the installed one is older.
    """

    name: str
    engine: str
    module: str
    min_version: tuple[int, int]
    remedy: str


TENSORRT = Product(
    "TensorRT", "tensorrt", "tensorrt", (10, 3), "(on a Jetson: JetPack 6.1 or later), or use --engine onnxruntime"
)
RTX = Product("TensorRT-RTX", "tensorrt-rtx", "tensorrt_rtx", (1, 7), "or use --engine onnxruntime")
"""TensorRT for RTX: it builds without a GPU, for a set of compute capabilities, and finishes kernels when it loads."""
PRODUCTS = {product.name: product for product in (TENSORRT, RTX)}
MAX_MESSAGES = 2000
"""Messages that a log keeps; the oldest are dropped first."""
_SEVERITIES = ("internal_error", "error", "warning", "info")


def tensorrt(product: Product = TENSORRT) -> Any:
    """Import a product; the module is untyped, and its names differ between releases.

    Raises:
        MissingDependencyError: it is not installed.
        EngineError: its libraries are missing, or it is older than `Product.min_version`.
    """
    try:
        module = import_module(product.module)
    except ModuleNotFoundError:
        command = TENSORRT_COMMAND if product is TENSORRT and this_jetson() else ""
        extra = gpu_extra() if product is TENSORRT else rtx_extra()
        raise MissingDependencyError(product.name, extra, "an engine for this GPU", command) from None
    except (ImportError, OSError) as error:
        raise EngineError(
            f"{product.name} is installed but cannot be loaded: {one_line(str(error))}; install its libraries of the "
            "same version, or add their folder to LD_LIBRARY_PATH"
        ) from None
    if release(module) < product.min_version:
        raise EngineError(
            f"expected {product.name} {'.'.join(map(str, product.min_version))} or later, found {module.__version__}; "
            f"upgrade it {product.remedy}"
        )
    return module


def version(product: Product = TENSORRT) -> str:
    """Version of a product, e.g. "10.3.0"; raises the exceptions of `tensorrt`."""
    return str(tensorrt(product).__version__)


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
        self.layers = ""
        """The message of the newest build that lists the layers of the engine."""

    def add(self, severity: str, text: str) -> None:
        """Add a message; never raises, since it is called from C++."""
        with self._lock:
            if severity == "verbose" and text.startswith(LOG_TITLE):
                self.layers = text
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
