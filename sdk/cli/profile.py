"""``facesr-edge profile``: per-stage latency."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from ...engines.session import LayerTime
from .console import print_losses, progress, put_json, results, say
from .options import (
    STDOUT,
    Command,
    json_option,
    load_pipeline,
    option,
    path_option,
    pipeline_options,
    run_summary,
    track_options,
)

if TYPE_CHECKING:
    from rich.table import Table

    from ..profiling.profile import Profile

MAX_LAYERS = 10


@click.command("profile", cls=Command, short_help="Measure the latency of each pipeline stage.")
@click.argument("source", metavar="INPUT")
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    metavar="N",
    help="Frames to measure.  [default: 30 of images, 100 of videos]",
)
@option("--warm-up", type=click.IntRange(min=0), metavar="N", default=3, help="Warm-up frames.")
@click.option("--no-encode", is_flag=True, help="Do not encode the output.")
@click.option("--layers", is_flag=True, help="Also measure each layer of the networks.")
@json_option("The profile")
@path_option("--trace", metavar="FILE", help="Write a trace for ui.perfetto.dev.")
@path_option("--html", metavar="FILE", help="Write a self-contained HTML report.")
@pipeline_options
@track_options("--track-frames")
def command(source: str, json_file: str | None, trace: Path | None, html: Path | None, **options: Any) -> None:
    """Measure the latency of each pipeline stage on INPUT: an image, folder, video, camera index or URL.

    A single image is decoded and processed repeatedly.

    \b
    Examples:
      facesr-edge profile clip.mp4
      facesr-edge profile clip.mp4 --html report.html --trace trace.json
    """
    from ..media.sources import open_source
    from ..profiling.profile import FRAMES, profile
    from ..profiling.report import write_report
    from ..profiling.trace import write_trace

    with open_source(source) as opened, load_pipeline(options) as pipeline, progress() as bar:
        for line in (*opened.info, run_summary(pipeline, opened)):
            say(line)
        task = bar.add_task("profiling", total=(options["frames"] or FRAMES[opened.kind]) + options["warm_up"])
        measured = profile(
            pipeline,
            opened,
            **{name: options[name] for name in ("frames", "warm_up", "layers")},
            encode=not options["no_encode"],
            report=lambda done: bar.update(task, completed=done),
        )
    print_losses(opened)
    if trace:
        write_trace(measured, trace)
    if html:
        write_report(measured, html)
    if json_file:
        put_json(measured.to_dict(), json_file)
    if json_file != STDOUT:
        show(measured)
    for path, hint in ((html, "open it in a browser"), (trace, "open it at ui.perfetto.dev")):
        if path:
            say(f"{path}: {hint}")


def show(measured: Profile) -> None:
    """Print a profile as a table."""
    console = results()
    overlapped = f", overlapped {measured.overlapped_fps:.1f} frames/s" if measured.overlapped_fps else ""
    console.print(
        f"{len(measured.timeline)} frames of {measured.size_wh[0]}x{measured.size_wh[1]} → x{measured.outscale}, "
        f"{measured.faces_per_frame:.1f} faces per frame, "
        f"[bold]sequential {measured.fps:.1f} frames/s{overlapped}[/bold]"
    )
    console.print(f"detect: {measured.plan}")
    if measured.detection.full < measured.detection.frames:
        console.print(str(measured.detection), soft_wrap=True)
    console.print(_table(measured))
    for part, times in measured.layers.items():
        console.print(_layers(part, times))
    memory = f", {measured.peak_memory_mb:.0f} MB peak memory" if measured.peak_memory_mb else ""
    console.print(
        f"overhead (total minus networks, registration, decoding, encoding and background resizing): "
        f"[bold]{measured.overhead.mean:.2f} ms[/bold], {measured.overhead_share:.1%}",
        soft_wrap=True,
    )
    console.print(f"{measured.machine}{memory}", style="dim")


def _layers(part: str, times: tuple[LayerTime, ...]) -> Table:
    """Slowest layers, with the rest in one row."""
    from rich.table import Table

    table = Table(f"{part}: {len(times)} layers", "", "ms", "share", box=None, padding=(0, 1), header_style="dim")
    total = sum(layer.ms for layer in times) or 1.0
    slowest = sorted(times, key=lambda layer: -layer.ms)
    rest = LayerTime("other layers", "", sum(layer.ms for layer in slowest[MAX_LAYERS:]))
    for layer in [*slowest[:MAX_LAYERS], rest]:
        table.add_row(escape(layer.name), escape(layer.kind), f"{layer.ms:.3f}", f"{layer.ms / total:.0%}")
    return table


def _table(measured: Profile) -> Table:
    from rich.table import Table

    table = Table("ms", box=None, padding=(0, 1), header_style="dim")
    for column in ("p50", "p90", "p99", "mean", "share"):
        table.add_column(column, justify="right")
    stages = measured.stages
    for name, latency in stages.items():
        part = "." in name
        share = latency.mean / stages["total"].mean
        table.add_row(
            f"  {name.partition('.')[2]}" if part else name,
            *(f"{value:.2f}" for value in (latency.p50, latency.p90, latency.p99, latency.mean)),
            f"{share:.0%}",
            style="dim" if part else "bold" if name == "total" else "",
        )
    return table
