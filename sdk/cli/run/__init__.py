"""``facesr-edge run``: upscale the faces of sources and write outputs of the same kind."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..console import say, show
from ..options import (
    STDOUT,
    Command,
    decode_options,
    encode_options,
    json_option,
    jsonl_option,
    load_pipeline,
    option_name,
    path_option,
    pipeline_options,
    sign_options,
    track_options,
)

if TYPE_CHECKING:
    from ...media.encode_options import EncodeOptions
    from ...pipeline.pipeline import Pipeline
    from ...provenance.credentials import Credentials
    from .jobs import Jobs, Writer
    from .plan import Job


@click.command("run", cls=Command, short_help="Upscale the faces of images, folders, videos or a live stream.")
@click.argument("sources", metavar="INPUT...", nargs=-1, required=True)
@path_option("-o", "--output", help="Output of the same kind as INPUT; a folder for several inputs.")
@click.option("--recursive", is_flag=True, help="Read the subfolders of folders.")
@pipeline_options
@track_options()
@decode_options
@encode_options
@sign_options
@json_option("Faces and timings of each frame")
@jsonl_option
@path_option("--uncertainty", metavar="DIR", help="Picture of each face with its uncertainty, to a folder.")
@path_option("--evidence", metavar="DIR", help="Write an evidence card of each picture and video with faces into DIR.")
@click.option("--store", metavar="STORE", help="Store the faces of pictures in a folder or database, see store.")
@click.option("--resume", is_flag=True, help="Go on with a stopped run of the same command; done frames are kept.")
@click.option("--strict", is_flag=True, help="Exit with 1 after the work if anything was lost or damaged.")
def command(
    sources: tuple[str, ...],
    output: Path | None,
    recursive: bool,
    json_file: str | None,
    jsonl_file: str | None,
    resume: bool,
    strict: bool,
    **options: Any,
) -> None:
    """Upscale the faces of each INPUT: an image, a video, a folder of these, a pattern in quotes, a camera index or a
    URL.

    \b
    Examples:
      facesr-edge run group.jpg -o upscaled.jpg
      facesr-edge run clip.mp4 -o upscaled.mp4 --outscale 3
      facesr-edge run photos 'clips/*.mp4' -o upscaled --recursive
      facesr-edge run rtsp://camera/stream -o upscaled.mp4
      facesr-edge run clip.mp4 -o upscaled.mkv --codec hevc --crf 22
      facesr-edge run clip.mp4 --json faces.json
      facesr-edge run clip.mp4 -o upscaled.mp4 --frames 7
      facesr-edge run clip.mp4 -o upscaled.mp4 --resume
      facesr-edge run group.jpg -o upscaled.jpg --uncertainty sheets --evidence cards
    """
    from .face_outputs import check_face_outputs, face_output_folders, open_face_outputs, unsigned

    folders = face_output_folders(options)
    if output is None and json_file is None and jsonl_file is None and not folders:
        raise click.UsageError(
            "no output; give -o OUTPUT, --json [FILE], --jsonl FILE, --evidence DIR, --uncertainty DIR or --store DIR"
        )
    check_face_outputs(folders, resume)
    from ...media.inputs import expand_inputs
    from ...media.standard_output import is_standard_output
    from ...media.url import masked
    from .jobs import Jobs
    from .plan import check_files, plan_jobs
    from .report import check, print_details, summary_line
    from .resume import is_done, lock_results, results_files

    if output is not None and is_standard_output(output):
        output = Path(STDOUT)
    check_files(output, json_file, jsonl_file, folders)
    results = results_files(json_file, jsonl_file, resume)
    files = [Path(file) for file in (output, json_file, jsonl_file) if file is not None and str(file) != STDOUT]
    files += folders.values()
    inputs = expand_inputs(sources, recursive, files)
    planned = _with_decode_options(plan_jobs(inputs, output, _encode_options(options, output)), options)
    planned, credentials = _signed(planned, options, output)
    labeled = not inputs.single and (len(planned) > 1 or inputs.folder is None)
    jobs = Jobs(planned, inputs.skipped, inputs.failures, labeled, resume)
    with ExitStack() as stack:
        opened = planned[0].open(options["outscale"], resume) if len(planned) == 1 else None
        if opened:
            stack.enter_context(opened[0])
            if opened[1] and opened[1].journal:
                stack.callback(opened[1].journal.close, complete=False)
        if resume and is_done(planned, opened, results):
            say(f"{output or results[0]} is complete; leave out --resume to run again")
            return
        pipeline = stack.enter_context(load_pipeline(options, output is not None, "uncertainty" in folders))
        jobs.outputs += open_face_outputs(folders, pipeline, options["store"], stack, credentials)
        for line in unsigned(folders) if credentials else ():
            say(line)
        start = time.perf_counter()
        jobs.journal = stack.enter_context(lock_results(results, resume))
        try:
            name = (
                {"source": opened[0].name}
                if opened and not labeled
                else {"sources": [masked(source) for source in sources]}
            )
            for writer in _writers(jobs, name | _head(pipeline, options), json_file, jsonl_file):
                stack.enter_context(writer)
                jobs.writers.append(writer)
            jobs.process(pipeline, opened)
        except BaseException as error:
            print_details(jobs.summary, pipeline, error)
            _say_outputs(jobs)
            raise
    summary = jobs.summary
    line = summary_line(summary, time.perf_counter() - start, jobs.full)
    path = opened[1].path if opened and opened[1] else output
    target = "standard output" if str(path) == STDOUT else path
    print_line = say if STDOUT in (str(output), json_file, jsonl_file) else show
    print_line(f"{line} → {target}" if target else line)
    print_details(summary, pipeline)
    _say_outputs(jobs)
    check(summary, strict)


def _say_outputs(jobs: Jobs) -> None:
    """Say what was written of the faces, also by a run that was stopped or failed."""
    for face_output in jobs.outputs:
        for line in face_output.lines():
            say(line)


def _with_decode_options(jobs: list[Job], options: dict[str, Any]) -> list[Job]:
    from ...media.images.sequence import DEFAULT_RATE, is_sequence

    rate = options["rate"]
    if rate is not None and not any(is_sequence(job.source) for job in jobs):
        raise click.UsageError("--rate is for numbered images such as frames/%05d.png; leave it out")
    deinterlace = options["deinterlace"] != "off"
    transport = options["transport"]
    return [replace(job, deinterlace=deinterlace, rate=rate or DEFAULT_RATE, transport=transport) for job in jobs]


def _signed(jobs: list[Job], options: dict[str, Any], output: Path | None) -> tuple[list[Job], Credentials | None]:
    """The jobs with what signs their outputs, and that."""
    from .plan import with_credentials

    files, url = options["sign"], options["timestamp_url"]
    if files is None:
        if url is not None:
            raise click.UsageError("--timestamp-url is of signatures; give --sign CERT KEY too")
        return jobs, None
    if output is None and options["evidence"] is None:
        raise click.UsageError("--sign cannot be used without an output; give -o OUTPUT or --evidence DIR")
    from ...provenance.credentials import load_credentials

    credentials = load_credentials(files[0], files[1], url)
    return (with_credentials(jobs, credentials) if output is not None else jobs), credentials


def _encode_options(options: dict[str, Any], output: Path | None) -> EncodeOptions:
    from ...media.encode_options import EncodeOptions

    names = ("codec", "crf", "preset", "quality", "subsampling", "compression", "strip_metadata", "no_provenance")
    given = [option_name(name) for name in names if options[name] is not None and options[name] is not False]
    if given and output is None:
        raise click.UsageError(f"{', '.join(given)} cannot be used without an output; give -o OUTPUT")
    return EncodeOptions(**{name: options[name] for name in (*names, "hwaccel", "threads")})


def _head(pipeline: Pipeline, options: dict[str, Any]) -> dict[str, Any]:
    from .... import __version__

    head = {
        "facesr_edge": __version__,
        "model": pipeline.card.name,
        "precision": pipeline.session.precision,
        "detector": options["detector"],
        "engine": pipeline.session.runtime,
        "outscale": pipeline.outscale,
    }
    if pipeline.multi_frame is None:
        return head
    return {**head, "frames_of_a_face": pipeline.frames, "track_model": pipeline.multi_frame.network.card.name}


def _writers(jobs: Jobs, head: dict[str, Any], json_file: str | None, jsonl_file: str | None) -> Iterator[Writer]:
    from ...profiling.json_writer import JsonLinesWriter, JsonWriter

    for file, kind in ((json_file, JsonWriter), (jsonl_file, JsonLinesWriter)):
        if file is not None:
            yield kind(sys.stdout if file == STDOUT else Path(file), head, lambda: jobs.summary)
