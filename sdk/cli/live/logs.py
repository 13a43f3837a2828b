"""Log lines of a live run, on standard error."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ....engines.errors import one_line
from ...media.url import masked

PACKAGE = __package__.partition(".")[0]


class _Handler(logging.Handler):
    """Writes each record as one line without credentials; at level debug, the traceback of an error follows."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write
        stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "  # the journal has times of its own
        self.setFormatter(logging.Formatter(f"{stamp}%(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        try:
            trace, record.exc_info, record.exc_text = record.exc_info, None, None
            self._write(one_line(masked(self.format(record))))
            record.exc_info = trace
            if trace and logging.getLogger(PACKAGE).isEnabledFor(logging.DEBUG):
                self._write(masked(logging.Formatter().formatException(trace)))
        except Exception:
            self.handleError(record)


@contextmanager
def logging_to(write: Callable[[str], None], level: str) -> Iterator[None]:
    """Log messages of the package from a level on, and warnings of other libraries.

    Args:
        write: prints a line.
        level: "debug", "info", "warning" or "error".
    """
    handler, root, package = _Handler(write), logging.getLogger(), logging.getLogger(PACKAGE)
    before = package.level
    root.addHandler(handler)
    package.setLevel(level.upper())
    try:
        yield
    finally:
        package.setLevel(before)
        root.removeHandler(handler)
