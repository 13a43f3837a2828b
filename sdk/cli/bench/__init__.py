"""``facesr-edge bench``: benchmarks on this machine; each subcommand is a module of this package."""

from __future__ import annotations

import click

from . import engines, pareto, peers, pipeline, predict, tables


@click.group("bench", short_help="Benchmarks of networks, pipeline, and other software.")
def command() -> None:
    """Benchmark networks, pipeline and other software on this machine."""


for module in (pipeline, peers, tables, pareto, engines, predict):
    command.add_command(module.command)
