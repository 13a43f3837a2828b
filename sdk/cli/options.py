"""Options that several commands share, and the kind of command they belong to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ...engines.onnxruntime.reference_session import MAX_REFERENCES
from ...zoo.catalogue import DEFAULT_DETECTOR, DEFAULT_MODEL, DEFAULT_SCORE
from ..pipeline.tiling import MIN_FACE

STDOUT = "-"
F = TypeVar("F", bound=Callable[..., Any])


class Command(click.Command):
    """A command that knows ``--debug``, and whose ``--json`` takes a file only where one follows.

    ``--json`` stands for ``--json -``, unless ``-`` or a name that ends in .json comes after it: so
    ``run --json clip.mp4`` reads the clip instead of overwriting it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_DEBUG)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click."""
        followed = zip(args, [*args, ""][1:], strict=True)
        spelled = [
            "--json=-" if arg == "--json" and after != STDOUT and not after.endswith(".json") else arg
            for arg, after in followed
        ]
        return super().parse_args(ctx, spelled)


def _remember(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    ctx.ensure_object(dict)["debug"] = value


_DEBUG = click.Option(
    ["--debug"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_remember,
    help="Show the traceback of an error.",
)


def _json_target(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is not None and value != STDOUT and not value.endswith(".json"):
        raise click.BadParameter(f"expected a file that ends in .json, or '-' for standard output, got {value}")
    return value


def json_option(what: str) -> Callable[[F], F]:
    """``--json [FILE]``.

    Args:
        what: the document holds, for the help.
    """
    text = f"{what} as one JSON document: into FILE (NAME.json), or on standard output and nothing else there."
    return click.option("--json", "json_file", metavar="[FILE]", callback=_json_target, help=text)


def path_option(*names: str, help: str, **more: Any) -> Callable[[F], F]:  # noqa: A002
    """An option that takes a path."""
    return click.option(*names, type=click.Path(path_type=Path), help=help, **more)


def _settings(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    told: dict[str, int] = {}
    for value in values:
        name, _, number = value.partition("=")
        if not (name.isidentifier() and number.lstrip("-").isdecimal()):
            raise click.BadParameter(f"expected NAME=NUMBER with a whole number, e.g. groups=5, got {value}")
        if name in told:
            raise click.BadParameter(f"{name} is set twice; leave one out")
        told[name] = int(number)
    return told


def set_option(of: str) -> Callable[[F], F]:
    """``--set NAME=NUMBER``, as often as wanted; the command gets a dict, ``options``.

    Args:
        of: what is set, for the help: "the recipe", "the network".
    """
    text = f"Another option of {of}, e.g. groups=5 for sisn; may be given again."
    return click.option("--set", "options", metavar="NAME=NUMBER", multiple=True, callback=_settings, help=text)


def pipeline_options(function: F) -> F:
    """The options that choose what is run, for `load` and `load_detector`."""
    for option in reversed(
        (
            model_option(DEFAULT_MODEL),
            detector_option,
            engine_option,
            rebuild_option,
            click.option(
                "--outscale",
                type=click.IntRange(1, 4),
                default=2,
                show_default=True,
                help="How many times larger the output is than the input.",
            ),
            min_face_option,
            score_option,
            threads_option,
            references_option,
            most_option,
        )
    ):
        function = option(function)
    return function


def model_option(default: str | None = None) -> Callable[[F], F]:
    """``--model``.

    Args:
        default: a name of the zoo; without it the option is required.
    """
    known = {"default": default, "show_default": True} if default else {"required": True}
    return click.option("--model", metavar="NAME|FOLDER", help="Zoo name or bundle folder.", **known)


def detector_option(function: F) -> F:
    """``--detector``."""
    text = "Zoo name, bundle folder or YuNet ONNX file."
    return click.option("--detector", metavar="NAME|FILE", default=DEFAULT_DETECTOR, show_default=True, help=text)(
        function
    )


def min_face_option(function: F) -> F:
    """``--min-face``."""
    text = "Smallest face of interest in pixels: from 12 on larger is quicker, below 8 smaller is slower."
    return click.option("--min-face", type=float, default=MIN_FACE, show_default=True, help=text)(function)


def score_option(function: F) -> F:
    """``--score``."""
    text = "Least score of a face, 0 to 1."
    return click.option("--score", type=float, default=DEFAULT_SCORE, show_default=True, help=text)(function)


def engine_option(function: F) -> F:
    """``--engine``."""
    known = "Runtime: auto, tensorrt, openvino or onnxruntime."
    return click.option("--engine", default="auto", show_default=True, metavar="NAME", help=known)(function)


def rebuild_option(function: F) -> F:
    """``--rebuild``."""
    text = "Compile a TensorRT engine in the bundle's folder where it has none that runs here."
    return click.option("--rebuild", is_flag=True, help=text)(function)


def threads_option(function: F) -> F:
    """``--threads``."""
    return click.option(
        "--threads", type=click.IntRange(min=0), default=0, help="CPU threads of a network.  [default: one a core]"
    )(function)


def references_option(function: F) -> F:
    """``--references``."""
    text = "Library of faces that the model borrows from: facesr-edge references build."
    return path_option("--references", metavar="LIB", help=text)(function)


def most_option(function: F) -> F:
    """``--most``."""
    text = "References of a face, with --references."
    return click.option("--most", type=click.IntRange(min=1), default=MAX_REFERENCES, show_default=True, help=text)(
        function
    )
