"""``facesr-edge bench pipeline``: latency, throughput and memory over frame size and number of faces."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ...bench.defaults import COUNTS, FRAMES, QUICK_COUNTS, QUICK_FRAMES, QUICK_ROUNDS, QUICK_SIZES, ROUNDS, SIZES
from ..console import note, results
from ..options import Command, load_pipeline, option, path_option, pipeline_options
from .output import Output, output_options, run_progress

if TYPE_CHECKING:
    from ...bench.pipeline import PipelineTimings

QUICK = {"sizes": QUICK_SIZES, "counts": QUICK_COUNTS, "frames": QUICK_FRAMES, "rounds": QUICK_ROUNDS}
"""Values of ``--quick``, for the options that are not given."""


def _sizes(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip().lower() for name in value.split(",")))
    for name in names:
        if name not in SIZES:
            raise click.BadParameter(f"expected sizes of {', '.join(SIZES)}, got {name}")
    return names


def _counts(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        counts = {int(count) for count in value.split(",")}
    except ValueError:
        counts = set()
    if not counts or min(counts) < 1:
        raise click.BadParameter(f"expected numbers of faces from 1, e.g. 1,8, got {value}")
    return tuple(sorted(counts))


@click.command("pipeline", cls=Command, short_help="Stages, throughput and memory over frame size and faces.")
@option("--sizes", callback=_sizes, default=",".join(SIZES), metavar="LIST", help="Frame sizes.")
@option("--counts", callback=_counts, default=",".join(map(str, COUNTS)), metavar="LIST", help="Faces in a frame.")
@option("--frames", type=click.IntRange(min=1), default=FRAMES, metavar="N", help="Frames in each round.")
@option("--runs", "rounds", type=click.IntRange(min=1), default=ROUNDS, help="Measured rounds.")
@click.option("--quick", is_flag=True, help="Two sizes, two numbers of faces, one round of six frames.")
@path_option("--faces", metavar="DIR", help="Pictures of one face each, to paste.  [default: the sample portrait]")
@pipeline_options
@output_options("The timings")
def command(
    sizes: tuple[str, ...],
    counts: tuple[int, ...],
    frames: int,
    rounds: int,
    quick: bool,
    faces: Path | None,
    json_file: str | None,
    chart: Path | None,
    save: bool,
    output: Path | None,
    **options: Any,
) -> None:
    """Measure the pipeline on frames of several sizes with 1 to 32 moving faces of 40 to 72 px.

    Every stage is timed frame by frame, throughput also with overlapped stages. Nothing is decoded or encoded. The
    combinations take turns in one run; peak memory is measured before, in a process for each.

    \b
    facesr-edge bench pipeline --quick
    facesr-edge bench pipeline --sizes 1080p --counts 1,8,32 --chart pipeline.png
    facesr-edge bench pipeline --threads 2 --save
    """
    from ....calibration.data.faces import SAMPLE_PORTRAIT, astronaut, true_faces
    from ...bench.pipeline import measure_pipeline
    from ...bench.pipeline_chart import draw_pipeline

    values = _quick_values({"sizes": sizes, "counts": counts, "frames": frames, "rounds": rounds}, quick)
    outputs = Output.prepare("pipeline", json_file, chart, save, output)
    images, dataset_name = true_faces(faces) if faces else ([astronaut()], SAMPLE_PORTRAIT)
    load = partial(load_pipeline, options)
    with run_progress() as report:
        timings = measure_pipeline(load, images, dataset_name, threads=options["threads"], report=report, **values)
    note(timings.notes)
    if outputs.prints_tables:
        print_timings(timings)
    outputs.write(timings.to_dict(), partial(draw_pipeline, timings))


def _quick_values(values: dict[str, Any], quick: bool) -> dict[str, Any]:
    """With ``--quick``, replace the values of options that were not given."""
    if not quick:
        return values
    source = click.get_current_context().get_parameter_source
    return {name: QUICK[name] if source(name) is ParameterSource.DEFAULT else value for name, value in values.items()}


def print_timings(timings: PipelineTimings) -> None:
    """Print one row for each frame size and number of faces, then the growth with the faces."""
    from rich.table import Table

    columns = ("detect", "crop", "network", "rest", "paste", "total, ms", "overhead", "frames/s", "overlapped", "MB")
    grid = Table("size", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("faces", *columns):
        grid.add_column(title, justify="right")
    for scene in timings.scenes:
        ms = scene.breakdown_ms
        parts = (
            ms["detect: network"] + ms["detect: rest"],
            *(ms["crop"], ms["upscale: network"], ms["upscale: rest"]),
            ms["paste: enlarge"] + ms["paste: faces"],
        )
        grid.add_row(
            scene.size,
            str(scene.faces),
            *(f"{part:.1f}" for part in parts),
            f"{scene.total.p50:.1f}",
            f"{scene.overhead_share:.1%}",
            f"{scene.sequential_fps:.2f}",
            f"{scene.overlapped_fps:.2f}",
            "–" if scene.peak_memory_mb is None else f"{scene.peak_memory_mb:.0f}",
        )
    console = results()
    console.print(grid)
    for line in timings.growth:
        console.print(f"{line.size}: {line.ms_per_frame:.1f} ms + {line.ms_per_face:.2f} ms per face")
    console.print(
        "Stages: mean ms of a frame, one after another; network and rest: of upscaling. total: median. overlapped: "
        "frames/s of Pipeline.stream. MB: peak memory of a process.",
        style="dim",
    )
    runtimes = "; ".join(dict.fromkeys(timings.runtimes.values()))
    console.print(f"{timings.machine}; {timings.model} {timings.precision}, {runtimes}", style="dim")
