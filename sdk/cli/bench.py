"""``facesr-edge bench``: what networks take on this machine, beside what is known of them elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from ..bench.paper import PAPER
from .console import note, progress, put_json, results, say
from .options import STDOUT, Command, json_option, path_option, threads_option

if TYPE_CHECKING:
    from rich.table import Table as Grid

    from ..bench.paper import PaperTable
    from ..bench.pareto import ParetoResult
    from ..bench.results import Timing

RATIO = 7
"""Characters of a ratio in a table."""


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
    from ..bench import table_chart as drawing
    from ..bench import tables as saving
    from ..bench.configs import select_backends
    from ..bench.paper import TABLES
    from ..bench.tables import QUICK_ROUNDS, measure
    from ..doctor.machine import this_machine

    select_backends(precision)
    machine = this_machine()
    if save and not output:
        output = saving.default_folder(machine.cpu, machine.cores, datetime.now().astimezone().isoformat())
    if output:
        saving.make_folder(output)
    for path in (chart, output and output / saving.PNG):
        if path:
            drawing.check(path)
    say(f"{machine}: the first minutes go into tracing, then all networks are timed in turn")
    with watched() as watch:
        timing = measure(
            TABLES,
            precision=precision,
            batch=batch,
            threads=threads,
            rounds=QUICK_ROUNDS if quick else runs,
            watch=watch,
        )
    note(timing.notes)
    if json_file != STDOUT:
        show(timing)
    if json_file:
        put_json(timing.to_dict(), json_file)
    if output:
        saving.save(timing, output)
    if chart:
        drawing.draw(timing, chart)
    for made in (chart, output):
        if made:
            say(f"{made}: written")


@contextmanager
def watched() -> Iterator[Callable[[str, int, int], None]]:
    """A bar of what is going on; without a terminal, a line for each thing that begins."""
    told = set[str]()
    with progress("steps") as bar:
        task = bar.add_task("preparing")

        def watch(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)
            if bar.disable and what not in told:
                told.add(what)
                say(what)

        yield watch


@command.command("map", cls=Command, short_help="Quality against time of every network, on this machine.")
@path_option("--faces", metavar="DIR", help="True faces that quality is measured on.  [default: sample faces]")
@click.option("--scale", type=click.IntRange(min=2), default=4, show_default=True, help="Of the networks.")
@click.option("--precision", default="fp32,int8", show_default=True, metavar="LIST", help="Of fp32,fp16,int8.")
@click.option("--batch", type=click.IntRange(1, 64), default=1, show_default=True, help="Faces of a call.")
@threads_option
@click.option("--runs", type=click.IntRange(min=1), default=30, show_default=True, help="Rounds that are counted.")
@json_option("The figures")
@path_option("--chart", metavar="FILE", help="Draw the map into FILE (NAME.png).")
def map_(
    faces: Path | None,
    scale: int,
    precision: str,
    batch: int,
    threads: int,
    runs: int,
    json_file: str | None,
    chart: Path | None,
) -> None:
    """Measure what each network of the zoo adds to bicubic, and what it takes, in every runtime of this machine.

    Faces are shrunk by bicubic. All networks are timed in turn, in one run. INT8 is what a build tries first: all but
    the first convolution and a last one of few channels.

    \b
    facesr-edge bench map --chart map.png
    facesr-edge bench map --faces faces/test --batch 8 --json map.json
    """
    from ...calibration.data.faces import true_faces
    from ..bench import pareto as trade_off
    from ..bench import pareto_chart as trade_off_chart
    from ..bench.configs import select_backends
    from ..bench.table_chart import check

    select_backends(precision)
    if chart:
        check(chart)
    models = trade_off.models_of(scale)
    true, whose = true_faces(faces)
    with watched() as watch:
        measured = trade_off.measure(
            models, true, whose, precision=precision, batch=batch, threads=threads, rounds=runs, watch=watch
        )
    note(measured.notes)
    if json_file != STDOUT:
        show_map(measured)
    if json_file:
        put_json(measured.to_dict(), json_file)
    if chart:
        trade_off_chart.draw(measured, chart)
        say(f"{chart}: written")


def show_map(measured: ParetoResult) -> None:
    """Print the points, the quickest first; those that nothing beats in bold."""
    from rich.table import Table as Grid

    from ..bench.pareto import OPENCV

    grid = Grid("model", "runs in", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("GMAC", "dB", "over bicubic", "ms", "four in five"):
        grid.add_column(title, justify="right")
    best = measured.frontier
    for point in measured.points:
        cost = f"{point.multiply_adds / 1e9:.3f}" if point.multiply_adds else ""
        taken = point.taken
        grid.add_row(
            point.model,
            "OpenCV" if point.who.engine == OPENCV else str(point.who),
            cost,
            f"{point.psnr_y_db:.2f}",
            f"{point.gain_db:+.2f}",
            f"{taken.p50:.2f}",
            f"{taken.p10:.2f}–{taken.p90:.2f}",
            style="bold" if point in best else "",
        )
    console = results()
    console.print(grid)
    console.print("bold: nothing here is both better and quicker", style="dim")
    console.print(f"{measured.machine}; quality on {measured.faces}, shrunk by bicubic", style="dim")


def show(timing: Timing) -> None:
    """Print the tables, the paper's line above ours."""
    console = results()
    for table in timing.tables:
        console.print(_grid(timing, table))
        console.print()
    faces = "one face" if timing.batch == 1 else f"{timing.batch} faces"
    console.print(
        f"ms of a call with {faces}: median of {timing.rounds}, below it the range of four in five; x: over the first "
        "column, to compare across machines.",
        style="dim",
    )
    console.print(PAPER, style="dim")
    console.print(f"{timing.machine}; {'; '.join(timing.runtimes.values())}", style="dim")


def _grid(timing: Timing, table: PaperTable) -> Grid:
    """A column for each network."""
    from rich.table import Table as Grid

    grid = Grid(title=table.title, title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="dim")
    grid.add_column(table.varies)
    for row in table.rows:
        grid.add_column(str(row.depth if table.varies == "depth" else row.width), justify="right")
    networks = [timing.networks[row.size] for row in table.rows]
    grid.add_row("GMAC", *_with_ratios([network.macs / 1e9 for network in networks]))
    grid.add_row("paper, ms", *_with_ratios([row.paper_ms for row in table.rows]))
    for who in timing.contestants:
        taken = [network.taken.get(who) for network in networks]
        grid.add_row(f"{who}, ms", *_with_ratios([one.p50 if one else None for one in taken]), style="bold")
        grid.add_row("", *(f"{one.p10:.2f}–{one.p90:.2f}" + " " * RATIO if one else "" for one in taken), style="dim")
    return grid


def _with_ratios(values: list[float | None] | list[float]) -> list[str]:
    """Each with its ratio to the first."""
    first = values[0]
    ratios = ["" if value is None or first is None else f"x{value / first:.2f}" for value in values]
    return [
        "–" if value is None else f"{value:.2f}{ratio:>{RATIO}}" for value, ratio in zip(values, ratios, strict=True)
    ]
