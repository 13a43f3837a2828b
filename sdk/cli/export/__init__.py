"""``facesr-edge export``: for other software; each subcommand is a module of this package."""

from __future__ import annotations

import click

from . import gstreamer, triton


@click.group("export", short_help="Export models for Triton and GStreamer.")
def command() -> None:
    """Export models and the pipeline for other software."""


for module in (triton, gstreamer):
    command.add_command(module.command)
