"""Entry point of ``facesr-edge``: command loading and error handling."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Any, NoReturn

import click

from ... import __version__
from ...engines.errors import FacesrError, SourceAuthenticationError, UnknownNameError, UsageError, one_line
from ..doctor.checks import package_of
from .console import Stopped, quiet_libraries, stop_signals

COMMANDS = (
    *("demo", "run", "batch", "live", "replay", "profile", "tune", "bench", "build", "train", "eval", "references"),
    *("models", "inspect", "doctor", "store", "verify", "export", "serve"),
)
"""Commands in the order of the help; each is a module of this package with a function `command`."""

EXIT_ERROR, EXIT_USAGE, EXIT_REFUSED = 1, 2, 3


class Commands(click.Group):
    """Command group that imports a command on first use; heavy libraries are imported when the command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See `click.Group`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command:
        """See `click.Group`."""
        if name not in COMMANDS:
            raise UnknownNameError("command", name, COMMANDS)
        command: click.Command = import_module(f".{name}", __package__).command
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="facesr-edge", message="%(prog)s %(version)s")
def cli() -> None:
    """Face super-resolution (x2 to x8) for camera video on edge devices.

    \b
    Examples:
      facesr-edge demo
      facesr-edge run clip.mp4 -o upscaled.mp4
      facesr-edge run rtsp://camera/stream -o upscaled.mp4
      facesr-edge live rtsp://camera/one rtsp://camera/two --port 8080

    Exit codes: 1 runtime error, 2 usage error, 3 a source refused the user or password.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit; exit codes: 0 success, 1 runtime error, 2 usage error, 3 refused by a source.

    Args:
        arguments: without the program name; None for those of the process.
    """
    for number in stop_signals():
        _interrupt_on(number)
    debug = "--debug" in (sys.argv[1:] if arguments is None else arguments)
    with nullcontext() if debug else quiet_libraries():
        _run(arguments)


def _run(arguments: Sequence[str] | None) -> NoReturn:
    settings: dict[str, Any] = {}
    try:
        cli.main(arguments, prog_name="facesr-edge", standalone_mode=False, obj=settings)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of stdout is gone; redirect it so that the interpreter's flush at exit does not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_ERROR)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except (Exception, KeyboardInterrupt) as error:
        if settings.get("debug"):
            raise
        code, message = _exit_code_and_message(error)
        prefix = "" if isinstance(error, Stopped) else click.style("error:", fg="red") + " "
        click.echo(f"facesr-edge: {prefix}{message}", err=True)
        sys.exit(code)
    sys.exit(0)


def _exit_code_and_message(error: BaseException) -> tuple[int, str]:
    """Exit code and one-line message of an exception."""
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "facesr-edge"
        return EXIT_USAGE, f"{one_line(error.format_message()).rstrip('.')}; see {command} --help"
    if isinstance(error, UsageError):
        return EXIT_USAGE, one_line(error)
    if isinstance(error, SourceAuthenticationError):  # a service that tried again would get the account locked
        return EXIT_REFUSED, one_line(error)
    if isinstance(error, (FacesrError, click.ClickException)):
        return EXIT_ERROR, one_line(error)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return EXIT_ERROR, "interrupted before any output was written"
    if isinstance(error, ModuleNotFoundError) and (package := package_of(error.name or "")):
        return EXIT_ERROR, f"{package.name} is required but not installed; {package.remedy}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        file = f" for {error.filename}" if error.filename else ""
        return EXIT_ERROR, f"no space left on the device{file}; free some space or choose another folder"
    if isinstance(error, MemoryError):
        return EXIT_ERROR, "out of memory; use smaller images, a smaller --outscale or fewer --threads"
    if isinstance(error, OSError) and error.strerror:
        prefix = f"{error.filename}: " if error.filename else ""
        return EXIT_ERROR, f"{prefix}{error.strerror.lower()}"
    return EXIT_ERROR, f"unexpected {type(error).__name__}: {one_line(error)}; use --debug for the traceback"


def _interrupt_on(number: int) -> None:
    """Raise KeyboardInterrupt on a signal, as on Ctrl-C, so that files are closed."""

    def interrupt(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    try:
        signal.signal(number, interrupt)
    except ValueError:  # not the main thread; the embedding program handles signals
        return
