"""``facesr-edge run``: faces made larger, from any source into a file of the same kind."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from .console import Stop, Stopped, note, progress, say
from .options import STDOUT, Command, json_option, path_option, pipeline_options
from .pipeline_options import introduction, pipeline_from

if TYPE_CHECKING:
    from ..media.base import Sink, Source
    from ..pipeline.pipeline import Pipeline
    from ..profiling.json_writer import JsonWriter


@click.command("run", cls=Command, short_help="Make the faces of a picture, folder, video or camera larger.")
@click.argument("source", metavar="INPUT")
@path_option("-o", "--output", help="File or folder to write, of the same kind as INPUT.")
@pipeline_options
@json_option("Faces and timings of every frame")
def command(source: str, output: Path | None, json_file: str | None, **options: Any) -> None:
    """Make the faces of INPUT larger: a picture, a folder of pictures, a video, a camera's number, or a URL.

    \b
    facesr-edge run group.jpg -o larger.jpg
    facesr-edge run clip.mp4 -o larger.mp4 --outscale 3
    facesr-edge run rtsp://camera/stream -o larger.mp4
    facesr-edge run clip.mp4 --json faces.json
    """
    if output is None and json_file is None:
        raise click.UsageError("nothing would be written; give -o OUTPUT, --json [FILE], or both")
    from ..media.sinks import open_sink
    from ..media.sources import open_source
    from ..profiling.json_writer import JsonWriter

    with ExitStack() as stack:
        opened = stack.enter_context(open_source(source))
        pipeline = stack.enter_context(pipeline_from(options, composite=output is not None))
        sink = stack.enter_context(open_sink(output, opened, outscale=pipeline.outscale)) if output else None
        head = _head(pipeline, opened, options["detector"])
        record = stack.enter_context(JsonWriter(_target(json_file), head)) if json_file else None
        say(introduction(pipeline, opened))
        said = _frames(pipeline, opened, sink, record)
    note([*opened.notes, *(sink.notes if sink else ())])
    click.echo(said if sink is None else f"{said} → {sink.path}", err=json_file == STDOUT)


def _head(pipeline: Pipeline, source: Source, detector: str) -> dict[str, Any]:
    from ... import __version__

    return {
        "facesr_edge": __version__,
        "source": source.name,
        "model": pipeline.card.name,
        "precision": pipeline.card.precision,
        "detector": detector,
        "engine": pipeline.session.runtime,
        "outscale": pipeline.outscale,
    }


def _target(json_file: str) -> Path | TextIO:
    return sys.stdout if json_file == STDOUT else Path(json_file)


def _frames(pipeline: Pipeline, source: Source, sink: Sink | None, record: JsonWriter | None) -> str:
    """Run all frames; what was done, in words."""
    from ...engines.errors import FacesrError
    from ..pipeline.run import run

    frames = faces = 0
    start = time.perf_counter()
    with Stop(source.close) as stop, progress() as bar:
        task = bar.add_task(Path(source.name).name or source.name, total=source.frame_count)
        try:
            for result in run(pipeline, source, sink):
                frames, faces = frames + 1, faces + len(result.faces)
                if record is not None:
                    record.add(result)
                bar.advance(task)
                if stop.asked:
                    break
        except (FacesrError, KeyboardInterrupt):
            bar.stop()
            note(_kept(frames, source, sink, record))
            raise
        if stop.asked and source.kind != "live":  # a camera has no other end
            raise Stopped("stopped; " + (_kept(frames, source, sink, record) or ["no frame was done"])[0])
    took = time.perf_counter() - start
    dropped = f", {source.dropped} frames dropped to keep up" if source.dropped else ""
    return (
        f"{frames} {'frame' if frames == 1 else 'frames'}, {faces} {'face' if faces == 1 else 'faces'}, "
        f"{took:.1f} s ({frames / took:.1f} frames/s){dropped}"
    )


def _kept(frames: int, source: Source, sink: Sink | None, record: JsonWriter | None) -> list[str]:
    where = sink.path if sink else "the JSON document" if record else None
    if where is None or frames == 0:
        return []
    of = f" of {source.frame_count}" if source.frame_count else ""
    return [f"{frames}{of} {'frame is' if frames == 1 and not of else 'frames are'} in {where}"]
