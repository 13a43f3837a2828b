"""``facesr-edge bench tables``: latency tables of the IDRN paper on this machine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ...bench.paper import PAPER
from ..console import note, results, say
from ..options import Command, option, threads_option
from .output import Output, output_options, run_progress

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from ...bench.paper import PaperTable
    from ...bench.tables import TableTimings

RATIO_WIDTH = 7
"""Width of a ratio in a table, in characters."""
batch_option = option("--batch", type=click.IntRange(1, 64), default=1, help="Faces per call.")


@click.command("tables", cls=Command, short_help="Timing tables of the IDRN paper, on this machine.")
@click.option("--precision", metavar="LIST", help="Of fp32,fp16,int8.  [default: all, FP16 unless slower than FP32]")
@batch_option
@threads_option
@option("--runs", "rounds", type=click.IntRange(min=1), default=50, help="Measured rounds.")
@click.option("--quick", is_flag=True, help="Ten rounds.")
@output_options("The latencies")
def command(
    quick: bool, json_file: str | None, chart: Path | None, save: bool, output: Path | None, **options: Any
) -> None:
    """Time IDRN in the depths and widths of its paper, in every runtime and precision that this machine has.

    All networks are timed interleaved, in one run. Weights are those of the zoo where available, random otherwise:
    latency does not depend on them. Compare ratios with the paper's, which was measured on another machine.

    \b
    facesr-edge bench tables --quick
    facesr-edge bench tables --precision fp32,int8 --threads 2 --save
    """
    if quick and click.get_current_context().get_parameter_source("rounds") is not ParameterSource.DEFAULT:
        raise click.UsageError("--quick and --runs exclude each other; give one")
    from ...bench import tables as timing_tables
    from ...bench.charts import draw_tables
    from ...bench.configs import parse_precisions
    from ...bench.paper import TABLES
    from ...doctor.machine import this_machine

    parse_precisions(options["precision"])
    if quick:
        options["rounds"] = timing_tables.QUICK_ROUNDS
    outputs = Output.prepare("tables", json_file, chart, save, output)
    say(f"{this_machine()}: exporting the networks takes minutes, then all are timed interleaved")
    with run_progress() as report:
        timings = timing_tables.measure_tables(TABLES, report=report, **options)
    note(timings.notes)
    if outputs.prints_tables:
        print_tables(timings)
    outputs.write(timings.to_dict(), partial(draw_tables, timings))


def print_tables(timings: TableTimings) -> None:
    """Print the tables, with the paper's row above the measured ones."""
    console = results()
    for table in timings.tables:
        console.print(_grid(timings, table))
        console.print()
    faces = "one face" if timings.batch == 1 else f"{timings.batch} faces"
    console.print(
        f"ms of a call with {faces}: median of {timings.rounds} rounds, below it the 10th to 90th percentile; x: ratio "
        "to the first column, comparable across machines.",
        style="dim",
    )
    console.print(PAPER, style="dim")
    console.print(f"{timings.machine}; {'; '.join(timings.runtimes.values())}", style="dim")


def _grid(timings: TableTimings, table: PaperTable) -> Table:
    """One column per network."""
    from rich.table import Table

    grid = Table(title=table.title, title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="dim")
    grid.add_column(table.varies)
    for row in table.rows:
        grid.add_column(str(row.depth if table.varies == "depth" else row.width), justify="right")
    networks = [timings.networks[row.size] for row in table.rows]
    grid.add_row("GMAC", *_with_ratios([network.macs / 1e9 for network in networks]))
    grid.add_row("paper, ms", *_with_ratios([row.paper_ms for row in table.rows]))
    for backend in timings.backends:
        latencies = [network.latencies_ms.get(backend) for network in networks]
        grid.add_row(f"{backend}, ms", *_with_ratios([ms.p50 if ms else None for ms in latencies]), style="bold")
        ranges = (f"{ms.p10:.2f}–{ms.p90:.2f}" + " " * RATIO_WIDTH if ms else "" for ms in latencies)
        grid.add_row("", *ranges, style="dim")
    return grid


def _with_ratios(values: list[float | None] | list[float]) -> list[str]:
    """Values with their ratios to the first."""
    first = values[0]
    ratios = ["" if value is None or first is None else f"x{value / first:.2f}" for value in values]
    return [
        "–" if value is None else f"{value:.2f}{ratio:>{RATIO_WIDTH}}"
        for value, ratio in zip(values, ratios, strict=True)
    ]
