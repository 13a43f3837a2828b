"""Runs a service until its cameras end or it is stopped, and shows what it does."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import click
from rich.console import Console
from rich.live import Live as LiveTable

from ...live.config.live_config import LiveConfig
from ...live.live import Live
from ...live.service.service import Service, open_service
from ...live.service.systemd import ServiceNotifier
from ..console import Stop, Stopped
from .plan import start_lines
from .status import CameraLine, StatusLines, summary_line, table
from .summary import Summary

TICK_S = 0.2
"""Longest delay of a stop."""
REFRESH_S, NOTIFY_S, LOG_S = 1.0, 5.0, 60.0
"""Intervals of the table, of the status for systemd, and of the status in the log."""

_log = logging.getLogger(__name__)


class Display(Protocol):
    """Shows the state of a run.

    Attributes:
        is_private: only the user sees it.
    """

    is_private: bool

    def write(self, line: str) -> None:
        """Print a line."""

    def show(self, lines: list[CameraLine]) -> None:
        """Show the cameras as they are now."""


class TerminalDisplay:
    """A table at the bottom of the terminal that is refreshed in place; lines appear above it."""

    is_private = True

    def __init__(self, table: LiveTable) -> None:
        self._table = table

    def write(self, line: str) -> None:
        """See `Display`."""
        self._table.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, lines: list[CameraLine]) -> None:
        """See `Display`."""
        self._table.update(table(lines), refresh=True)


class LogDisplay:
    """Lines, for a log."""

    is_private = False

    def __init__(self) -> None:
        self._logged_s = time.monotonic()

    def write(self, line: str) -> None:
        """See `Display`."""
        click.echo(line, err=True)

    def show(self, lines: list[CameraLine]) -> None:
        """See `Display`."""
        if time.monotonic() - self._logged_s >= LOG_S:
            self._logged_s = time.monotonic()
            _log.info("%s", summary_line(lines))


@contextmanager
def open_display() -> Iterator[Display]:
    """A table on a terminal, else lines; both on standard error."""
    console = Console(stderr=True, file=sys.stderr)
    if not console.is_terminal:
        yield LogDisplay()
        return
    with LiveTable(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live_table:
        yield TerminalDisplay(live_table)


@dataclass(frozen=True)
class Done:
    """A run that has ended.

    Args:
        summary: of the run.
        error: that ended it; None if the user stopped it, or all cameras have ended.
    """

    summary: Summary
    error: BaseException | None


def run_service(config: LiveConfig, display: Display) -> Done | None:
    """Run until the cameras end or the user stops it; None if that was before the first frame could come.

    Raises:
        FacesrError: see `open_service`.
        Stopped: the user stopped it twice.
    """
    notifier, start_s = ServiceNotifier(), None
    try:
        with open_service(config, display.write) as service:
            start_s = time.monotonic()
            with Stop(lambda: None) as stop:
                error = run_until_stopped(service, notifier, display, stop)
            duration_s, statuses = time.monotonic() - start_s, service.statuses()  # closing them ends all
            notifier.stopping()
            service.live.close()
    except KeyboardInterrupt:
        if start_s is None:
            return None
        raise Stopped("stopped at once; outputs may be incomplete") from None
    return Done(Summary(service, statuses, duration_s), error)  # after the outputs were closed


def run_until_stopped(
    service: Service, notifier: ServiceNotifier, display: Display, stop: Stop
) -> BaseException | None:
    """Show the run; returns the error that ended it."""
    for line in start_lines(service, display.is_private):
        display.write(line)
    consumer, status = _Consumer(service.live), StatusLines(service)
    shown, notified, turn_s = _Interval(REFRESH_S), _Interval(NOTIFY_S), 0.0
    notifier.ready(summary_line(status.now()))
    while not consumer.ended(TICK_S) and not stop.requested:
        if service.live.last_turn_s > turn_s:  # a scheduler that hangs is not reported alive
            turn_s = service.live.last_turn_s
            notifier.alive()
        if shown.passed():
            lines = status.now()
            display.show(lines)
            if notified.passed():
                notifier.status(summary_line(lines))
    return None if stop.requested else consumer.error


class _Consumer:
    """Takes the results, so that files go on; outputs get them as observers.

    Attributes:
        error: that ended the run; None otherwise.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._take_all, name="live results", daemon=True)
        self._thread.start()

    def _take_all(self) -> None:
        try:
            self._live.run()
        except BaseException as error:  # raised in the thread of the command
            self.error = error

    def ended(self, timeout_s: float) -> bool:
        """Wait for the end; returns whether it has come."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()


class _Interval:
    """Tells when an interval has passed; the first has passed at once."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s, self._next_s = interval_s, -float("inf")

    def passed(self) -> bool:
        """Whether it has passed since the last time that it had."""
        if time.monotonic() < self._next_s:
            return False
        self._next_s = time.monotonic() + self._interval_s
        return True
