"""``facesr-edge bench``: what networks take on this machine, beside what is known of them elsewhere."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from .options import STDOUT, Command, json_option, path_option, threads_option
from .screen import note, progress, put_json, results, say

if TYPE_CHECKING:
    from rich.table import Table as Grid

    from ..bench.contest import Contestant
    from ..bench.paper import Table
    from ..bench.timing import Timing


@click.group("bench", short_help="What networks take here, beside the papers' tables.")
def command() -> None:
    """Time networks on this machine."""


@command.command("tables", cls=Command, short_help="The IDRN paper's timing tables, on this machine.")
@click.option("--precision", metavar="LIST", help="Of fp32,fp16,int8.  [default: all, FP16 where it is no slower]")
@click.option("--batch", type=click.IntRange(1, 64), default=1, show_default=True, help="Faces of a call.")
@threads_option
@click.option("--runs", type=click.IntRange(min=1), default=50, show_default=True, help="Rounds that are counted.")
@click.option("--quick", is_flag=True, help="Ten rounds.")
@json_option("The figures")
@path_option("--chart", metavar="FILE", help="Draw the tables into FILE (NAME.png).")
@click.option("--save", is_flag=True, help="Write figures and chart to benchmarks/results/MACHINE-DATE.")
@path_option("-o", "--output", metavar="DIR", help="Write figures and chart to DIR.")
def tables(
    precision: str | None,
    batch: int,
    threads: int,
    runs: int,
    quick: bool,
    json_file: str | None,
    chart: Path | None,
    save: bool,
    output: Path | None,
) -> None:
    """Time IDRN in the depths and widths of its paper, in every runtime and precision that this machine has.

    All networks are timed in turn, in one run. Weights are those of the zoo where it has them, random elsewhere: time
    does not depend on them. Compare ratios with the paper's, which was measured on another machine.

    \b
    facesr-edge bench tables --quick
    facesr-edge bench tables --precision fp32,int8 --threads 2 --save
    """
    given = click.get_current_context().get_parameter_source
    if quick and given("runs") is not ParameterSource.DEFAULT:
        raise click.UsageError("--quick and --runs exclude each other; give one")
    from ..bench import chart as drawing
    from ..bench import save as saving
    from ..bench.contest import chosen
    from ..bench.paper import TABLES
    from ..bench.tables import QUICK_ROUNDS, measure
    from ..machine import this_machine

    chosen(precision)
    machine = this_machine()
    if save and not output:
        output = saving.default_folder(machine.cpu, machine.cores, datetime.now().astimezone().isoformat())
    if output:
        saving.make_folder(output)
    for path in (chart, output and output / saving.PNG):
        if path:
            drawing.check(path)
    say(f"{machine}: the first minutes go into tracing, then all networks are timed in turn")
    with progress("steps") as bar:
        task = bar.add_task("preparing")
        timing = measure(
            TABLES,
            precision=precision,
            batch=batch,
            threads=threads,
            rounds=QUICK_ROUNDS if quick else runs,
            watch=lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
        )
    note(timing.notes)
    if chart:
        drawing.draw(timing, chart)
    if output:
        saving.save(timing, output)
    if json_file:
        put_json(timing.to_dict(), json_file)
    if json_file != STDOUT:
        show(timing)
    for made in (chart, output):
        if made:
            say(f"{made}: written")


def show(timing: Timing) -> None:
    """Print the tables, the paper's column beside ours."""
    console = results()
    for table in timing.tables:
        console.print(_grid(timing, table))
        console.print()
    faces = "one face" if timing.batch == 1 else f"{timing.batch} faces"
    console.print(
        f"ms of a call with {faces}: median (four of five calls lie within); x: over the first row, which is what can "
        f"be compared. Paper: one face, GTX 1060, TensorFlow. {timing.rounds} rounds.",
        style="dim",
    )
    console.print(f"{timing.machine}; {'; '.join(timing.runtimes.values())}", style="dim")


def _grid(timing: Timing, table: Table) -> Grid:
    from rich.table import Table as Grid

    grid = Grid(title=table.title, title_justify="left", box=None, padding=(0, 1), header_style="dim")
    for column in (table.varies, "GMAC", "x", "paper ms", "x"):
        grid.add_column(column, justify="right")
    for who in timing.contestants:
        grid.add_column(f"{who} ms", justify="right")
        grid.add_column("x", justify="right")
    first = table.rows[0]
    for row in table.rows:
        macs, base = timing.networks[row.size].macs, timing.networks[first.size].macs
        ours = (text for who in timing.contestants for text in _cells(timing, table, row.size, who))
        grid.add_row(
            str(row.depth if table.varies == "depth" else row.width),
            f"{macs / 1e9:.2f}",
            f"{macs / base:.2f}",
            f"{row.paper_ms:.2f}",
            f"{row.paper_ms / first.paper_ms:.2f}",
            *ours,
        )
    return grid


def _cells(timing: Timing, table: Table, size: tuple[int, int], who: Contestant) -> tuple[str, str]:
    taken = timing.networks[size].taken.get(who)
    if not taken:
        return "–", "–"
    row = next(row for row in table.rows if row.size == size)
    ratio = timing.ratio(table, row, who)
    return f"{taken.p50:.2f} ({taken.p10:.2f}–{taken.p90:.2f})", "–" if ratio is None else f"{ratio:.2f}"
