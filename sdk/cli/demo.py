"""``facesr-edge demo``: run and profile the pipeline on a sample frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import progress, results, say
from .options import Command, load_pipeline, path_option, pipeline_options
from .profile import show

if TYPE_CHECKING:
    from rich.table import Table

    from ..pipeline.results import FrameResult

OUTPUTS = (
    ("composite.png", "output frame with the upscaled faces"),
    ("faces/sheet.png", "input, bicubic and network output of each face"),
    ("profile.html", "latency report; open it in a browser"),
    ("trace.json", "trace; open it at ui.perfetto.dev"),
    ("faces.json", "boxes, scores, consistency and timings"),
)
"""File -> description."""


@click.command("demo", cls=Command, short_help="Run and profile the pipeline on a sample frame; start here.")
@path_option("-o", "--output", metavar="DIR", default=Path("facesr-demo"), show_default=True, help="Output folder.")
@pipeline_options
def command(output: Path, **options: Any) -> None:
    """Upscale the faces of a sample frame and write the results, a latency report and a trace.

    \b
    Examples:
      facesr-edge demo
      facesr-edge demo --model idrn-x4 -o demo-idrn
    """
    from ..demo import FRAMES, demo

    with load_pipeline(options) as pipeline, progress() as bar:
        say(f"sample frame, 1280x720 · {pipeline.card.name} {pipeline.session.precision} · {pipeline.session.runtime}")
        task = bar.add_task("profiling", total=FRAMES)
        outputs = demo(pipeline, output, report=lambda done: bar.update(task, completed=done))
    console = results()
    console.print(_faces(outputs.result))
    console.print()
    show(outputs.profile)
    console.print()
    for name, description in OUTPUTS:
        console.print(f"[bold]{output / name}[/bold]  [dim]{description}[/dim]", soft_wrap=True)


def _faces(result: FrameResult) -> Table:
    from rich.table import Table

    from ..profiling.report import face_side

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("face", "score", "output", "consistency"):
        table.add_column(column, justify="right")
    for face in sorted(result.faces, key=face_side):
        side = face_side(face)
        consistency = f"{face.consistency_db:.1f} dB" if face.consistency_db < float("inf") else "exact"
        table.add_row(f"{side:.0f} px", f"{face.score:.2f}", f"{side * face.scale:.0f} px", consistency)
    for box in result.too_large.boxes_xyxy:
        table.add_row(f"{max(box[2] - box[0], box[3] - box[1]):.0f} px", "", "not upscaled", "too large")
    return table
