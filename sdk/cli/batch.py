"""``facesr-edge batch``: upscale the faces of an archive with many workers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...engines.errors import FacesrError
from ..media.reasons import plural
from ..media.url import masked
from .console import Stop, Stopped, bytes_progress, paused, print_failures, say, show
from .options import (
    Command,
    deinterlace_option,
    detect_every_option,
    detector_option,
    encode_options,
    engine_option,
    max_references_option,
    min_face_option,
    model_option,
    option,
    outscale_option,
    precision_option,
    references_option,
    score_option,
    track_options,
)

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ..archive.batch import BatchProgress
    from ..archive.pipeline_spec import PipelineSpec
    from ..archive.summary import BatchSummary

LOCAL_RAY = "local"
_LINE_S = 60.0


class _BatchCommand(Command):
    """Command whose ``--ray`` without an address starts Ray on this machine."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command`; an input is not taken for an address."""
        pairs = zip(args, [*args, ""][1:], strict=True)
        expanded = [f"--ray={LOCAL_RAY}" if arg == "--ray" and not _is_address(value) else arg for arg, value in pairs]
        return super().parse_args(ctx, expanded)


def _is_address(value: str) -> bool:
    """Whether an argument is the address of a Ray cluster: local, auto, ray://host:port or host:port."""
    host, _, port = value.rpartition(":")
    return value in (LOCAL_RAY, "auto") or value.startswith("ray://") or (bool(host) and port.isdecimal())


@click.command("batch", cls=_BatchCommand, short_help="Upscale the faces of an archive with many workers.")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("-o", "--output", required=True, metavar="FOLDER|URL", help="Folder or fsspec URL of the outputs.")
@click.option("--recursive", is_flag=True, help="Read the subfolders of folders.")
@option("--workers", type=click.IntRange(min=0), default=0, metavar="N", help="Workers; 0 for one per core and thread.")
@click.option(
    "--ray", metavar="[ADDRESS]", help="Workers are actors of a Ray cluster; without ADDRESS of one started here."
)
@option("--retries", type=click.IntRange(min=0), default=1, metavar="N", help="How often what failed is tried again.")
@option(
    "--chunk",
    type=click.IntRange(min=0),
    default=1000,
    metavar="FRAMES",
    help="Frames of a part of a video, a multiple of 250; several workers process one video. 0 for whole videos.",
)
@option(
    "--threads", type=click.IntRange(min=1), default=1, metavar="N", help="CPU threads of each worker and its encoder."
)
@option(
    "--stall-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    metavar="S",
    help="Replace a worker that finishes no frame in so many seconds.",
)
@click.option(
    "--scratch", type=click.Path(path_type=Path), metavar="FOLDER", help="Folder of the workers for temporary files."
)
@click.option("--store", metavar="STORE", help="Store the faces of pictures in a folder or database, see store.")
@model_option
@detector_option
@engine_option
@precision_option
@outscale_option
@min_face_option
@score_option
@detect_every_option
@track_options()
@references_option
@max_references_option
@deinterlace_option
@encode_options
def command(inputs: tuple[str, ...], output: str, **options: Any) -> None:
    """Upscale the faces of each INPUT: an image, a video, a folder of these, a pattern in quotes, an fsspec URL of one
    of them, or @list.txt, a file with one a line.

    The outputs are the same for any number of workers. The same command again does what is left.

    \b
    Examples:
      facesr-edge batch archive -o upscaled --recursive
      facesr-edge batch 'archive/**/*.jpg' clip.mp4 -o upscaled --workers 8
      facesr-edge batch @files.txt -o s3://bucket/upscaled --ray auto
    """
    from ..archive.batch import batch
    from ..media.encode_options import EncodeOptions

    names = ("codec", "crf", "preset", "hwaccel", "quality", "subsampling", "compression", "strip_metadata")
    encode = EncodeOptions(**{name: options[name] for name in names})
    stop = Stop(lambda: None)
    with stop, bytes_progress() as bar:
        summary = batch(
            inputs,
            output,
            pipeline=_pipeline(options),
            options=encode,
            recursive=options["recursive"],
            deinterlace=options["deinterlace"] != "off",
            workers=options["workers"],
            ray=options["ray"],
            retries=options["retries"],
            chunk=options["chunk"],
            stall_s=options["stall_timeout"],
            scratch=options["scratch"],
            store=options["store"],
            on_progress=partial(_show_progress, bar, bar.add_task("", total=None)),
            stopped=lambda: stop.requested,
        )
    print_summary(summary, output)
    if stop.requested and not summary.complete:
        raise Stopped(f"stopped; {_done(summary)}; the same command goes on")
    if summary.failures:
        raise FacesrError(f"{len(summary.failures)} of {summary.files} files failed; the same command tries them again")


def _pipeline(options: dict[str, Any]) -> PipelineSpec:
    from ..archive.pipeline_spec import PipelineSpec

    return PipelineSpec(
        model=options["model"],
        engine=options["engine"],
        precision=options["precision"],
        detector=options["detector"],
        detector_engine=options["engine"],
        detector_precision=options["precision"],
        outscale=options["outscale"],
        score=options["score"],
        min_face=options["min_face"],
        detect_every=options["detect_every"],
        threads=options["threads"],
        references=str(options["references"]) if options["references"] else None,
        max_references=options["max_references"],
        frames=options["track_frames"],
        track_model=options["track_model"],
        track_engine=options["engine"],
        track_precision=options["precision"],
    )


def _show_progress(bar: Progress, task: TaskID, progress: BatchProgress) -> None:
    """Show how far a batch is: a bar on a terminal, else a line a minute, for logs; and its events."""
    if progress.event:
        with paused(bar):
            say(progress.event)
    elapsed_s = bar.tasks[task].elapsed or 0.0
    rate = f" ({progress.frames / elapsed_s:.1f}/s)" if progress.frames and elapsed_s else ""
    text = f"{progress.done}/{progress.files} files, {progress.frames} frames{rate}"
    bar.update(task, description=text, total=progress.bytes or None, completed=progress.bytes_done)
    if bar.disable and elapsed_s - bar.tasks[task].fields.get("said_s", 0.0) >= _LINE_S:
        bar.update(task, said_s=elapsed_s)
        share = progress.bytes_done / progress.bytes if progress.bytes else 0.0
        left = f", about {elapsed_s * (1 / share - 1) / 60:.0f} min left" if share else ""
        say(f"{text}, {share:.0%}{left}")


def _done(summary: BatchSummary) -> str:
    return f"{summary.done + summary.earlier} of {summary.files} files are done"


def _faces(summary: BatchSummary) -> str:
    faces = plural(summary.faces, "face")
    if not summary.too_large:
        return faces
    return f"{faces} ({summary.upscaled} upscaled, {summary.too_large} too large, left alone)"


def print_summary(summary: BatchSummary, output: str) -> None:
    """Print what became of a batch, where its outputs are, and what failed."""
    rate = f" ({summary.frames / summary.seconds:.1f} frames/s)" if summary.frames else ""
    parts = [_done(summary), f"{plural(summary.frames, 'frame')}, {_faces(summary)} in {summary.seconds:.1f} s{rate}"]
    counts = {
        "{} from earlier calls": summary.earlier,
        "{} tasks tried again": summary.retries,
        "{} skipped": len(summary.skipped),
        "{} failed": len(summary.failures),
        "{} with notes, see batch.jsonl": summary.notes,
    }
    show(f"{', '.join([*parts, *(text.format(count) for text, count in counts.items() if count)])} → {masked(output)}")
    for line in summary.workers:
        say(line)
    print_failures(summary.skipped, summary.failures)
