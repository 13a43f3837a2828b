"""What is shown: words on standard error, results on standard output, JSON alone there."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType, TracebackType
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

from ...engines.errors import FacesrError, OutputError
from .options import STDOUT


def say(text: str) -> None:
    """A line of standard error: what is going on, never a result."""
    click.echo(text, err=True)


def note(lines: Iterable[str]) -> None:
    """What a source or sink could not do as asked."""
    for line in lines:
        say(f"{click.style('note:', fg='yellow')} {line}")


def results() -> Console:
    """Standard output, for tables."""
    width = None if sys.stdout.isatty() else 120  # a pipe has no width; 80 would break rows
    return Console(width=width, highlight=False)


def put_json(document: Any, json_file: str) -> None:
    """Write a document to standard output or a file.

    Raises:
        OutputError: the file cannot be written.
    """
    text = json.dumps(document, indent=2, allow_nan=False)
    if json_file == STDOUT:
        click.echo(text)
        return
    try:
        Path(json_file).write_text(f"{text}\n", "utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {json_file}: {error.strerror or error}; choose another file") from None


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        self._unit = unit
        super().__init__()

    def render(self, task: Task) -> Text:
        """Speed of the last half minute."""
        return Text(f"{task.speed:.1f} {self._unit}/s" if task.speed else "", style="cyan")


def progress(unit: str = "frames") -> Progress:
    """A bar on standard error: done, rate, time left. Shows nothing where that is no terminal."""
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


class Stopped(FacesrError):  # noqa: N818 (the user wanted it)
    """The user stopped a command after a part of its work; the text says what is kept."""


class Stop:
    """While it is open, the first Ctrl-C or SIGTERM asks for an end after the frame at hand; the second interrupts.

    Args:
        close: called when an end is asked for, so that nobody waits for a camera.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        self.asked = False
        self._close = close
        self._before: dict[int, Any] = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._close()

    def __enter__(self) -> Stop:
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._hear)
        except ValueError:  # only the main thread may listen to signals
            self._before = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
