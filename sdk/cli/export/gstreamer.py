"""``facesr-edge export gstreamer``: where GStreamer finds the element."""

from __future__ import annotations

import click

from ..console import say
from ..options import Command


@click.command("gstreamer", cls=Command, short_help="Print the environment of the GStreamer element.")
def command() -> None:
    """Print shell lines that let GStreamer find the element `facesr`.

    \b
    eval "$(facesr-edge export gstreamer)"
    gst-inspect-1.0 facesr
    """
    from ...gstreamer.environment import python_version, shell_lines

    for line in shell_lines():
        click.echo(line)
    say(f"GStreamer's loader of Python plugins must run Python {python_version()}, as this environment does")
