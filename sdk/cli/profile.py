"""``facesr-edge profile``: what every stage of a frame costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from ...engines.session import LayerTime
from .console import note, progress, put_json, results, say
from .options import STDOUT, Command, json_option, path_option, pipeline_options
from .pipeline_options import introduction, pipeline_from

if TYPE_CHECKING:
    from rich.table import Table

    from ..profiling.profile import Profile

MAX_LAYERS = 10


@click.command("profile", cls=Command, short_help="What every stage of a frame costs, with a report to look at.")
@click.argument("source", metavar="INPUT")
@click.option(
    "--frames", type=click.IntRange(min=1), help="Frames to measure.  [default: 30 of pictures, 100 of videos]"
)
@click.option("--warm-up", type=click.IntRange(min=0), default=3, show_default=True, help="Frames before, not counted.")
@click.option("--no-encode", is_flag=True, help="Leave the writing of the output out.")
@click.option("--layers", is_flag=True, help="Time every layer of the networks as well.")
@json_option("The figures")
@path_option("--trace", help="Write a trace for ui.perfetto.dev.")
@path_option("--html", help="Write a report, one page that needs nothing else.")
@pipeline_options
def command(
    source: str,
    frames: int | None,
    warm_up: int,
    no_encode: bool,
    layers: bool,
    json_file: str | None,
    trace: Path | None,
    html: Path | None,
    **options: Any,
) -> None:
    """Measure every stage on INPUT: a picture (read again and again), a folder, a video, or a live source.

    \b
    facesr-edge profile clip.mp4
    facesr-edge profile clip.mp4 --html report.html --trace trace.json
    """
    from ..media.sources import open_source
    from ..profiling.profile import FRAMES, profile
    from ..profiling.report import write_report
    from ..profiling.trace import write_trace

    with open_source(source) as opened, pipeline_from(options) as pipeline, progress() as bar:
        say(introduction(pipeline, opened))
        task = bar.add_task("measuring", total=(frames or FRAMES[opened.kind]) + warm_up)
        measured = profile(
            pipeline,
            opened,
            frames=frames,
            warm_up=warm_up,
            encode=not no_encode,
            layers=layers,
            report=lambda done: bar.update(task, completed=done),
        )
    note(opened.notes)
    if trace:
        write_trace(measured, trace)
    if html:
        write_report(measured, html)
    if json_file:
        put_json(measured.to_dict(), json_file)
    if json_file != STDOUT:
        show(measured)
    for path, use in ((html, "open it in a browser"), (trace, "open it at ui.perfetto.dev")):
        if path:
            say(f"{path}: {use}")


def show(measured: Profile) -> None:
    """Print a profile as a table."""
    console = results()
    console.print(
        f"{len(measured.timeline)} frames of {measured.size_wh[0]}x{measured.size_wh[1]} → x{measured.outscale}, "
        f"{measured.faces_per_frame:.1f} faces a frame, [bold]{measured.fps:.1f} frames/s[/bold]"
    )
    console.print(f"detect: {measured.plan}")
    console.print(_table(measured))
    for part, times in measured.layers.items():
        console.print(_layers(part, times))
    memory = f", {measured.peak_memory_mb:.0f} MB at most" if measured.peak_memory_mb else ""
    console.print(
        f"own work, all but networks, codecs and enlargement: [bold]{measured.overhead.mean:.2f} ms[/bold], "
        f"{measured.overhead_share:.1%} of a frame"
    )
    console.print(f"{measured.machine}{memory}", style="dim")


def _layers(part: str, times: tuple[LayerTime, ...]) -> Table:
    """The layers that take longest, and the rest in one row."""
    from rich.table import Table

    table = Table(f"{part}: {len(times)} layers", "", "ms", "share", box=None, padding=(0, 1), header_style="dim")
    total = sum(layer.ms for layer in times) or 1.0
    slowest = sorted(times, key=lambda layer: -layer.ms)
    rest = LayerTime("the others", "", sum(layer.ms for layer in slowest[MAX_LAYERS:]))
    for layer in [*slowest[:MAX_LAYERS], rest]:
        table.add_row(escape(layer.name), escape(layer.kind), f"{layer.ms:.3f}", f"{layer.ms / total:.0%}")
    return table


def _table(measured: Profile) -> Table:
    from rich.table import Table

    table = Table("ms", box=None, padding=(0, 1), header_style="dim")
    for column in ("p50", "p90", "p99", "mean", "share"):
        table.add_column(column, justify="right")
    stages = measured.stages
    for name, figures in stages.items():
        part = "." in name
        share = figures.mean / stages["total"].mean
        table.add_row(
            f"  {name.partition('.')[2]}" if part else name,
            *(f"{value:.2f}" for value in (figures.p50, figures.p90, figures.p99, figures.mean)),
            f"{share:.0%}",
            style="dim" if part else "bold" if name == "total" else "",
        )
    return table
