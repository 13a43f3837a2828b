"""``facesr-edge run``: upscale the faces of a source and write an output of the same kind."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import Stop, Stopped, note, progress, say
from .options import (
    STDOUT,
    Command,
    encode_options,
    json_option,
    load_pipeline,
    path_option,
    pipeline_options,
    run_summary,
)

if TYPE_CHECKING:
    from ..media.encode_options import EncodeOptions
    from ..media.source_sink import Sink, Source
    from ..pipeline.pipeline import Pipeline
    from ..profiling.json_writer import JsonWriter


@click.command("run", cls=Command, short_help="Upscale the faces of an image, folder, video or live stream.")
@click.argument("source", metavar="INPUT")
@path_option("-o", "--output", help="Output file or folder, of the same kind as INPUT.")
@pipeline_options
@encode_options
@json_option("Faces and timings of each frame")
def command(source: str, output: Path | None, json_file: str | None, **options: Any) -> None:
    """Upscale the faces of INPUT: an image, a folder of images, a video, a camera index or a URL.

    \b
    Examples:
      facesr-edge run group.jpg -o upscaled.jpg
      facesr-edge run clip.mp4 -o upscaled.mp4 --outscale 3
      facesr-edge run rtsp://camera/stream -o upscaled.mp4
      facesr-edge run clip.mp4 -o upscaled.mkv --codec hevc --crf 22
      facesr-edge run clip.mp4 --json faces.json
    """
    if output is None and json_file is None:
        raise click.UsageError("no output; give -o OUTPUT, --json [FILE] or both")
    from ..media.sinks import open_sink
    from ..media.sources import open_source
    from ..profiling.json_writer import JsonWriter

    encoding = _encode_options(options, output)
    with ExitStack() as stack:
        opened = stack.enter_context(open_source(source, hwaccel=options["hwaccel"], threads=options["threads"]))
        pipeline = stack.enter_context(load_pipeline(options, composite=output is not None))
        opened_sink = open_sink(output, opened, outscale=pipeline.outscale, options=encoding) if output else None
        sink = stack.enter_context(opened_sink) if opened_sink else None
        head = _head(pipeline, opened, options["detector"])
        destination = sys.stdout if json_file == STDOUT else Path(json_file or "")
        writer = stack.enter_context(JsonWriter(destination, head)) if json_file else None
        for line in (*opened.info, *(sink.info if sink else ())):
            say(line)
        say(run_summary(pipeline, opened))
        summary = _process(pipeline, opened, sink, writer)
    note([*opened.notes, *(sink.notes if sink else ())])
    click.echo(summary if sink is None else f"{summary} → {sink.path}", err=json_file == STDOUT)


def _encode_options(options: dict[str, Any], output: Path | None) -> EncodeOptions:
    from ..media.encode_options import EncodeOptions

    names = ("codec", "crf", "preset", "quality", "compression")
    given = [f"--{name}" for name in names if options[name] is not None]
    if given and output is None:
        raise click.UsageError(f"{', '.join(given)} cannot be used without an output; give -o OUTPUT")
    return EncodeOptions(**{name: options[name] for name in (*names, "hwaccel", "threads")})


def _head(pipeline: Pipeline, source: Source, detector: str) -> dict[str, Any]:
    from ... import __version__

    return {
        "facesr_edge": __version__,
        "source": source.name,
        "model": pipeline.card.name,
        "precision": pipeline.session.precision,
        "detector": detector,
        "engine": pipeline.session.runtime,
        "outscale": pipeline.outscale,
    }


def _process(pipeline: Pipeline, source: Source, sink: Sink | None, writer: JsonWriter | None) -> str:
    """Process all frames and return a one-line summary."""
    from ...engines.errors import FacesrError
    from ..pipeline.run import run

    frames = faces = full = 0
    start = time.perf_counter()
    with Stop(source.close) as stop, progress() as bar:
        task = bar.add_task(Path(source.name).name or source.name, total=source.frame_count)
        try:
            with closing(run(pipeline, source, sink)) as processed:  # a stop closes the source, which ends them
                for result in processed:
                    frames, faces = frames + 1, faces + len(result.faces)
                    full += result.detection is None or result.detection.kind == "full"
                    if writer is not None:
                        writer.add(result)
                    bar.advance(task)
        except (FacesrError, KeyboardInterrupt):
            bar.stop()
            note(_kept_output(sink.frames_written if sink else frames, source, sink, writer))
            raise
        if stop.requested and source.kind != "live":  # stopping is the regular end of a live source
            raise Stopped("stopped; " + (_kept_output(frames, source, sink, writer) or ["no frame was processed"])[0])
    duration_s = time.perf_counter() - start
    detected = f", detected fully in {full} ({full / frames:.0%})" if full < frames else ""
    dropped = f", {source.dropped} frames dropped" if source.dropped else ""
    return (
        f"{frames} {'frame' if frames == 1 else 'frames'}, {faces} {'face' if faces == 1 else 'faces'}, "
        f"{duration_s:.1f} s ({frames / duration_s:.1f} frames/s){detected}{dropped}"
    )


def _kept_output(frames: int, source: Source, sink: Sink | None, writer: JsonWriter | None) -> list[str]:
    destination = sink.path if sink else "the JSON document" if writer else None
    if destination is None or frames == 0:
        return []
    total = f" of {source.frame_count}" if source.frame_count else ""
    return [f"{frames}{total} {'frame is' if frames == 1 and not total else 'frames are'} in {destination}"]
