"""``facesr-edge bench pareto``: accuracy against latency of every network on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..console import note, put_json, results, say
from ..options import STDOUT, Command, json_option, option, path_option, threads_option
from .output import run_progress
from .tables import batch_option

if TYPE_CHECKING:
    from ...bench.pareto import ParetoResult


@click.command("pareto", cls=Command, short_help="Accuracy against latency of every network, on this machine.")
@path_option("--faces", metavar="DIR", help="Ground-truth faces for the accuracy.  [default: sample faces]")
@option("--scale", type=click.IntRange(min=2), default=4, help="Scale of the networks.")
@option("--precision", default="fp32,int8", metavar="LIST", help="Of fp32,fp16,int8.")
@batch_option
@threads_option
@option("--runs", "rounds", type=click.IntRange(min=1), default=30, help="Measured rounds.")
@json_option("The points")
@path_option("--chart", metavar="FILE", help="Draw the chart into FILE (NAME.png).")
def command(faces: Path | None, scale: int, json_file: str | None, chart: Path | None, **options: Any) -> None:
    """Measure PSNR gain over bicubic and latency of each zoo network, in every runtime of this machine.

    Faces are downscaled by bicubic. All networks are timed interleaved, in one run. INT8 is the first quantization of a
    build: all but the first convolution and a last one of few channels.

    \b
    facesr-edge bench pareto --chart pareto.png
    facesr-edge bench pareto --faces faces/test --batch 8 --json pareto.json
    """
    from ....calibration.data.faces import true_faces
    from ...bench.chart_style import check_chart_path
    from ...bench.charts import draw_pareto
    from ...bench.configs import parse_precisions
    from ...bench.pareto import measure_pareto, models_of

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

    from ...bench.pareto import OPENCV

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
