"""``facesr-edge bench``: latency tables of the IDRN paper, and accuracy against latency, on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..bench.paper import PAPER
from .console import note, progress, put_json, results, say
from .options import STDOUT, Command, json_option, option, path_option, threads_option

if TYPE_CHECKING:
    from rich.table import Table

    from ..bench.paper import PaperTable
    from ..bench.pareto import ParetoResult
    from ..bench.tables import RunProgress, TableTimings

RATIO_WIDTH = 7
"""Width of a ratio in a table, in characters."""
batch_option = option("--batch", type=click.IntRange(1, 64), default=1, help="Faces per call.")


@click.group("bench", short_help="Benchmarks of the super-resolution networks.")
def command() -> None:
    """Benchmark super-resolution networks on this machine."""


@command.command("tables", cls=Command, short_help="Timing tables of the IDRN paper, on this machine.")
@click.option("--precision", metavar="LIST", help="Of fp32,fp16,int8.  [default: all, FP16 unless slower than FP32]")
@batch_option
@threads_option
@option("--runs", "rounds", type=click.IntRange(min=1), default=50, help="Measured rounds.")
@click.option("--quick", is_flag=True, help="Ten rounds.")
@json_option("The latencies")
@path_option("--chart", metavar="FILE", help="Draw the tables into FILE (NAME.png).")
@click.option("--save", is_flag=True, help="Write JSON and chart to benchmarks/results/MACHINE-DATE.")
@path_option("-o", "--output", metavar="DIR", help="Write JSON and chart to DIR.")
def tables(
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
    from ..bench import tables as timing_tables
    from ..bench.charts import check_chart_path, draw_tables
    from ..bench.configs import parse_precisions
    from ..bench.paper import TABLES
    from ..doctor.machine import this_machine

    parse_precisions(options["precision"])
    if quick:
        options["rounds"] = timing_tables.QUICK_ROUNDS
    machine = this_machine()
    if save and not output:
        output = timing_tables.default_folder(machine.cpu, machine.cores, datetime.now().astimezone().isoformat())
    if output:
        timing_tables.make_folder(output)
    for path in (chart, output and output / timing_tables.PNG):
        if path:
            check_chart_path(path)
    say(f"{machine}: exporting the networks takes minutes, then all are timed interleaved")
    with run_progress() as report:
        timings = timing_tables.measure_tables(TABLES, report=report, **options)
    note(timings.notes)
    if json_file != STDOUT:
        print_tables(timings)
    if json_file:
        put_json(timings.to_dict(), json_file)
    if output:
        timing_tables.save_tables(timings, output)
    if chart:
        draw_tables(timings, chart)
    for path in (chart, output):
        if path:
            say(f"{path}: written")


@contextmanager
def run_progress() -> Iterator[RunProgress]:
    """Progress bar of the current step; without a terminal, one line per step."""
    printed = set[str]()
    with progress("steps") as bar:
        task = bar.add_task("preparing")

        def report(step: str, done: int, total: int) -> None:
            bar.update(task, description=step, completed=done, total=total)
            if bar.disable and step not in printed:
                printed.add(step)
                say(step)

        yield report


@command.command("pareto", cls=Command, short_help="Accuracy against latency of every network, on this machine.")
@path_option("--faces", metavar="DIR", help="Ground-truth faces for the accuracy.  [default: sample faces]")
@option("--scale", type=click.IntRange(min=2), default=4, help="Scale of the networks.")
@option("--precision", default="fp32,int8", metavar="LIST", help="Of fp32,fp16,int8.")
@batch_option
@threads_option
@option("--runs", "rounds", type=click.IntRange(min=1), default=30, help="Measured rounds.")
@json_option("The points")
@path_option("--chart", metavar="FILE", help="Draw the chart into FILE (NAME.png).")
def pareto(faces: Path | None, scale: int, json_file: str | None, chart: Path | None, **options: Any) -> None:
    """Measure PSNR gain over bicubic and latency of each zoo network, in every runtime of this machine.

    Faces are downscaled by bicubic. All networks are timed interleaved, in one run. INT8 is the first quantization of a
    build: all but the first convolution and a last one of few channels.

    \b
    facesr-edge bench pareto --chart pareto.png
    facesr-edge bench pareto --faces faces/test --batch 8 --json pareto.json
    """
    from ...calibration.data.faces import true_faces
    from ..bench.charts import check_chart_path, draw_pareto
    from ..bench.configs import parse_precisions
    from ..bench.pareto import measure_pareto, models_of

    parse_precisions(options["precision"])
    if chart:
        check_chart_path(chart)
    models = models_of(scale)
    images, dataset_name = true_faces(faces)
    with run_progress() as report:
        result = measure_pareto(models, images, dataset_name, report=report, **options)
    note(result.notes)
    if json_file != STDOUT:
        print_pareto(result)
    if json_file:
        put_json(result.to_dict(), json_file)
    if chart:
        draw_pareto(result, chart)
        say(f"{chart}: written")


def print_pareto(result: ParetoResult) -> None:
    """Print the points in ascending order of latency, the Pareto frontier in bold."""
    from rich.table import Table

    from ..bench.pareto import OPENCV

    grid = Table("model", "backend", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("GMAC", "PSNR Y, dB", "gain, dB", "median, ms", "p10–p90, ms"):
        grid.add_column(title, justify="right")
    frontier = result.frontier
    for point in result.points:
        latency = point.latency_ms
        grid.add_row(
            point.model,
            "OpenCV" if point.backend.engine == OPENCV else str(point.backend),
            f"{point.multiply_adds / 1e9:.3f}" if point.multiply_adds else "",
            f"{point.psnr_y_db:.2f}",
            f"{point.gain_db:+.2f}",
            f"{latency.p50:.2f}",
            f"{latency.p10:.2f}–{latency.p90:.2f}",
            style="bold" if point in frontier else "",
        )
    console = results()
    console.print(grid)
    console.print("bold: Pareto frontier", style="dim")
    console.print(f"{result.machine}; PSNR on {result.faces}, bicubic downscaling", style="dim")


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
