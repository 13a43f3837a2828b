"""``facesr-edge demo``: the whole thing on a sample picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import progress, results, say
from .options import Command, path_option, pipeline_options
from .pipeline_options import pipeline_from
from .profile import show

if TYPE_CHECKING:
    from rich.table import Table

    from ..pipeline.results import FrameResult

LEFT = (
    ("composite.png", "the frame, twice as large, with its faces"),
    ("faces/sheet.png", "camera, bicubic and network side by side"),
    ("profile.html", "what everything cost; open it in a browser"),
    ("trace.json", "the same on a time line; open it at ui.perfetto.dev"),
    ("faces.json", "boxes, scores, agreement, timings"),
)


@click.command("demo", cls=Command, short_help="The whole thing on a sample picture; start here.")
@path_option("-o", "--output", metavar="DIR", default=Path("facesr-demo"), show_default=True, help="Folder to fill.")
@pipeline_options
def command(output: Path, **options: Any) -> None:
    """Find and enlarge the faces of a sample picture, and leave the results, a report and a trace to look at."""
    from ..demo import FRAMES, demo

    with pipeline_from(options) as pipeline, progress() as bar:
        say(f"sample picture, 1280x720 · {pipeline.card.name} {pipeline.card.precision} · {pipeline.session.runtime}")
        task = bar.add_task("measuring", total=FRAMES)
        done = demo(pipeline, output, report=lambda count: bar.update(task, completed=count))
    console = results()
    console.print(_faces(done.result))
    console.print()
    show(done.profile)
    console.print()
    for name, what in LEFT:
        console.print(f"[bold]{output / name}[/bold]  [dim]{what}[/dim]", soft_wrap=True)


def _faces(result: FrameResult) -> Table:
    from rich.table import Table

    from ..profiling.report import face_side

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("face", "score", "becomes", "agrees with the camera"):
        table.add_column(column, justify="right")
    for face in sorted(result.faces, key=face_side):
        side = face_side(face)
        agreement = f"{face.consistency_db:.1f} dB" if face.consistency_db < float("inf") else "to the last bit"
        table.add_row(f"{side:.0f} px", f"{face.score:.2f}", f"{side * face.scale:.0f} px", agreement)
    for box in result.too_large.boxes_xyxy:
        table.add_row(f"{max(box[2] - box[0], box[3] - box[1]):.0f} px", "", "left as it is", "large already")
    return table
