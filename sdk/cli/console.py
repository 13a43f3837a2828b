"""Terminal output: status messages on stderr, results and JSON on stdout."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ...engines.errors import FacesrError
from .options import STDOUT


def say(text: str) -> None:
    """Print a status line to stderr."""
    click.echo(text, err=True)


def note(lines: Iterable[str]) -> None:
    """Print warnings of a source or sink to stderr."""
    for line in lines:
        say(f"{click.style('note:', fg='yellow')} {line}")


def results() -> Console:
    """Console on stdout, for tables."""
    width = None if sys.stdout.isatty() else 120  # the default of 80 columns for a pipe would wrap rows
    return Console(width=width, highlight=False)


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
        super().__init__()

    def render(self, task: Task) -> Text:
        """Throughput over the last 30 s."""
        return Text(f"{task.speed:.1f} {self._unit}/s" if task.speed else "", style="cyan")


def progress(unit: str = "frames") -> Progress:
    """Progress bar on stderr with count, rate and remaining time; disabled if stderr is not a terminal."""
    console = Console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn(unit),
        _Rate(unit),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class Stopped(FacesrError):  # noqa: N818 (requested by the user)
    """The user stopped a command; the message says which output is kept."""


class Stop:
    """Graceful stop: the first Ctrl-C or SIGTERM sets `requested`, the second raises KeyboardInterrupt.

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
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._on_signal)
        except ValueError:  # only the main thread can set signal handlers
            self._handlers = {}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
