"""``facesr-edge tune``: measure what runs a bundle fastest on this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ...zoo.catalogue import DEFAULT_DETECTOR, DEFAULT_MODEL
from .console import put_json, results, say
from .options import STDOUT, Command, json_option, threads_option

if TYPE_CHECKING:
    from ...engines.bundle.bundle import Bundle
    from ...engines.registry import Tuning


@click.command("tune", cls=Command, short_help="Measure the fastest engine of this machine.")
@click.argument("models", metavar="[NAME|FOLDER]...", nargs=-1)
@threads_option
@json_option("The measurements")
def command(models: tuple[str, ...], threads: int, json_file: str | None) -> None:
    """Measure runtimes, precisions and numbers of calls at once, and keep the fastest for `--engine auto`.

    Without a model: the default model and the detector. `auto` measures by itself on first use, for at most 3 s; this
    command measures every candidate on every input, e.g. on an idle machine.
    """
    from ...engines.registry import tune
    from ...zoo import catalogue

    documents = []
    for name in models or (DEFAULT_DETECTOR, DEFAULT_MODEL):
        bundle = catalogue.find(name)
        say(f"measuring {bundle.card.name}")
        tuning = tune(bundle, threads)
        documents.append({"model": bundle.card.name, **asdict(tuning)})
        if json_file != STDOUT:
            _print(bundle, tuning)
    if json_file:
        put_json(documents, json_file)


def _print(bundle: Bundle, tuning: Tuning) -> None:
    from rich.markup import escape
    from rich.table import Table

    from ...engines.registry import NAMES
    from ...engines.tuning.candidates import loss

    inputs = list(dict.fromkeys(name for one in tuning.measurements for name in one.ms))
    table = Table("engine", "precision", "at once", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in (*(f"ms at {name}" for name in inputs), "loss"):
        table.add_column(heading, justify="right")
    table.add_column()
    choice = tuning.choice
    for one in tuning.measurements:
        runs = one.candidate
        drop = loss(bundle.card, runs.precision)
        is_chosen = (runs.engine, runs.precision, runs.workers) == (choice.engine, choice.precision, choice.workers)
        times = [f"{one.ms[name]:.2f}" if name in one.ms else "" for name in inputs]
        cells: list[Any] = [NAMES[runs.engine], runs.precision, str(runs.workers), *times]
        cells += ["" if drop is None else f"{drop:.3f}", "chosen" if is_chosen else escape(one.problem)]
        table.add_row(*cells, style="bold" if is_chosen else None)
    for left in tuning.left_out:
        table.add_row(NAMES[left.engine], left.precision, "", *[""] * len(inputs), "", escape(left.reason), style="dim")
    console = results()
    console.print(f"[bold]{escape(bundle.card.name)}[/bold]: {escape(str(choice))}")
    console.print(table)
