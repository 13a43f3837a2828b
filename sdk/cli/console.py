"""Terminal output: status messages on stderr, results and JSON on stdout."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from ...engines.errors import FacesrError, one_line, printable
from .options import STDOUT

if TYPE_CHECKING:
    from ..media.source_sink import Source
    from ..pipeline.summary import Failure

MAX_FAILURES = 20
MAX_NAMES = 5


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Discard warnings, and what C libraries (libpng, libjpeg, x265, …) write to standard error on their own.

    They report a damaged file line by line, besides the error that is raised. `sys.stderr` still works.
    """
    own, kept, is_own = sys.stderr, None, False
    with suppress(OSError, ValueError):  # closed, or without a file descriptor
        kept = os.dup(2)
        own.flush()
        is_own = own.fileno() == 2
    if kept is None:
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    with os.fdopen(os.dup(kept), "w", 1, encoding=own.encoding, errors=own.errors) as copy, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if is_own:
            sys.stderr = copy
        try:
            yield
        finally:
            sys.stderr = own
            os.dup2(kept, 2)
            os.close(kept)


def say(text: str) -> None:
    """Print a status line to stderr."""
    click.echo(one_line(text), err=True)


def show(text: str) -> None:
    """Print a result line to stdout."""
    click.echo(one_line(text))


def note(lines: Iterable[str]) -> None:
    """Print warnings of a source or sink to stderr."""
    for line in lines:
        click.echo(f"{click.style('note:', fg='yellow')} {one_line(line)}", err=True)


def print_failures(skipped: Sequence[str], failures: Sequence[Failure]) -> None:
    """Print the names of skipped files and the reasons of failures; of many the first."""
    if skipped:
        say(f"{len(skipped)} skipped: {_listed(skipped)}")
    for failure in failures[:MAX_FAILURES]:
        say(f"failed: {failure.reason if failure.name in failure.reason else f'{failure.name}: {failure.reason}'}")
    if len(failures) > MAX_FAILURES:
        say(f"failed: {len(failures) - MAX_FAILURES} more; --json lists all")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def print_losses(source: Source) -> None:
    """Print what was lost on reading a source: notes, skipped files and failures."""
    note(source.notes)
    print_failures(source.skipped, source.failures)


def results() -> Console:
    """Console on stdout, for tables."""
    width = None if sys.stdout.isatty() else 120  # the default of 80 columns for a pipe would wrap rows
    return _Printable(width=width, highlight=False)


class _Printable(Console):
    """Console that escapes control characters, which names of files, folders and layers may contain."""

    def render_str(self, text: str, **settings: Any) -> Text:
        """See `rich.console.Console`; tables call it for their cells, too."""
        return super().render_str(printable(text), **settings)


def put_json(document: Any, json_file: str) -> None:
    """Write a JSON document to stdout or a file.

    Raises:
        OutputError: the file cannot be written.
    """
    from ..profiling.json_writer import write_text

    text = json.dumps(document, indent=2, allow_nan=False)
    if json_file == STDOUT:
        click.echo(text)
    else:
        write_text(Path(json_file), f"{text}\n")


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        self._unit = unit
        super().__init__(Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        """Throughput over the last 30 s."""
        return Text(f"{task.speed:.1f} {self._unit}/s" if task.speed else "", style="cyan")


def progress(unit: str = "frames") -> Progress:
    """Progress bar on stderr with count, rate and remaining time; disabled if stderr is not a terminal."""
    console = Console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", max_width=40)),
        BarColumn(bar_width=30),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn(unit, table_column=Column(no_wrap=True)),
        _Rate(unit),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def bytes_progress() -> Progress:
    """Progress bar on stderr of a share of bytes, with the remaining time; disabled if stderr is not a terminal."""
    console = Console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@contextmanager
def paused(bar: Progress) -> Iterator[None]:
    """Remove a progress bar while other lines are printed."""
    bar.stop()
    try:
        yield
    finally:
        bar.start()


def stop_signals() -> list[int]:
    """Signals that end a command as Ctrl-C does, so that files are closed: SIGTERM, and SIGHUP unless ignored."""
    signals: list[int] = [signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # missing on Windows
        signals.append(signal.SIGHUP)
    return signals


class Stopped(FacesrError):  # noqa: N818 (requested by the user)
    """The user stopped a command; the message says which output is kept."""


class Stop:
    """Graceful stop: the first Ctrl-C, SIGTERM or SIGHUP sets `requested`, the second raises KeyboardInterrupt.

    Args:
        close: called on the first signal, to end a wait for a camera.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        self.requested = False
        self._close = close
        self._handlers: dict[int, Any] = {}

    def _on_signal(self, number: int, frame: object) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._close()

    def __enter__(self) -> Stop:
        try:
            for number in (signal.SIGINT, *stop_signals()):
                self._handlers[number] = signal.signal(number, self._on_signal)
        except ValueError:  # only the main thread can set signal handlers
            self._handlers = {}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
