"""The command ``facesr-edge``: which commands there are, and what becomes of an error."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from ... import __version__
from ...engines.errors import FacesrError, UnknownNameError, UsageError
from ..doctor.checks import package_of
from .console import Stopped

COMMANDS = ("demo", "run", "profile", "bench", "build", "train", "eval", "references", "models", "inspect", "doctor")
"""In the order of the help. Each is a module of this package, and the `command` in it."""

DONE, COULD_NOT, WRONG_USAGE = 0, 1, 2


class Commands(click.Group):
    """Imports a command when it is asked for; its libraries are imported when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command:
        """See click."""
        if name not in COMMANDS:
            raise UnknownNameError("command", name, COMMANDS)
        command: click.Command = import_module(f".{name}", __package__).command
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="facesr-edge", message="%(prog)s %(version)s")
def cli() -> None:
    """Small faces in camera frames, made four times larger, on the device that the camera hangs on.

    \b
    Try it:   facesr-edge demo
    Use it:   facesr-edge run clip.mp4 -o larger.mp4
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit: 0 done, 1 could not be done, 2 wrong usage.

    Args:
        arguments: what follows the program's name; none for those of the process.
    """
    settings: dict[str, Any] = {}
    _stop_like_interrupt(signal.SIGTERM)
    try:
        cli.main(arguments, prog_name="facesr-edge", standalone_mode=False, obj=settings)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read our output has gone; the interpreter must not stumble over the rest when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(COULD_NOT)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(WRONG_USAGE)
    except (Exception, KeyboardInterrupt) as error:
        if settings.get("debug"):
            raise
        code, text = _told(error)
        mark = "" if isinstance(error, Stopped) else click.style("error:", fg="red") + " "
        click.echo(f"facesr-edge: {mark}{text}", err=True)
        sys.exit(code)
    sys.exit(DONE)


def _told(error: BaseException) -> tuple[int, str]:
    """Exit code, and what to say in one line."""
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "facesr-edge"
        return WRONG_USAGE, f"{_line(error.format_message()).rstrip('.')}; see {command} --help"
    if isinstance(error, UsageError):
        return WRONG_USAGE, _line(error)
    if isinstance(error, (FacesrError, click.ClickException)):
        return COULD_NOT, _line(error)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return COULD_NOT, "stopped before anything was done"
    if isinstance(error, ModuleNotFoundError) and (package := package_of(error.name or "")):
        return COULD_NOT, f"{package.name}, which this needs, is not installed; {package.remedy}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = f" for {error.filename}" if error.filename else ""
        return COULD_NOT, f"the disk is full{where}; free some space or choose another folder"
    if isinstance(error, MemoryError):
        return COULD_NOT, "there is not enough memory; use smaller pictures, a smaller --outscale, or fewer --threads"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return COULD_NOT, f"{where}{error.strerror.lower()}"
    return COULD_NOT, f"unexpected {type(error).__name__}: {_line(error)}; run again with --debug for the traceback"


def _line(error: object) -> str:
    return " ".join(str(error).split())


def _stop_like_interrupt(number: int) -> None:
    """Let a signal do what Ctrl-C does, so that files are closed."""

    def interrupt(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    try:
        signal.signal(number, interrupt)
    except ValueError:  # only the main thread may; elsewhere the embedding program decides
        return
