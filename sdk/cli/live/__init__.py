"""``facesr-edge live``: upscale the faces of many cameras within a time budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ....engines.errors import ConfigError, UsageError
from ..console import note, put_json, say, show
from ..options import (
    STDOUT,
    Command,
    detector_option,
    engine_option,
    hwaccel_option,
    json_option,
    model_option,
    outscale_option,
    path_option,
    precision_option,
    threads_option,
)

if TYPE_CHECKING:
    from ...live.config.live_config import LiveConfig

POSITIVE = click.FloatRange(0, min_open=True)


@click.command("live", cls=Command, short_help="Upscale the faces of many cameras within a time budget.")
@click.argument("sources", metavar="SOURCE...|cameras.yaml", nargs=-1, required=True)
@click.option(
    *("-o", "--output", "outputs"),
    metavar="OUTPUT",
    multiple=True,
    help="faces.jsonl, shots/, evidence:DIR, store:DIR, 'out-{camera}.mp4', '{camera}.m3u8', or a URL of MQTT, RTSP, "
    "MJPEG, HTTP or PostgreSQL; repeatable.",
)
@click.option(
    "--budget-ms",
    type=POSITIVE,
    metavar="MS",
    help="From the arrival of a frame to its result.  [100]",
)
@click.option("--fps", type=POSITIVE, metavar="N", help="Most frames/s of each camera.  [all]")
@model_option
@click.option("--small-model", metavar="NAME|FOLDER|none", help="For faces above the budget.  [edge-nano-x4-camera]")
@click.option(
    "--frames",
    type=click.IntRange(1),
    metavar="K",
    help="Upscale each face from up to K crops of its track; 1: from the newest only.  [1]",
)
@click.option("--track-model", metavar="NAME|FOLDER", help="Network for --frames of 2 or more.  [edge-tiny-x4-track]")
@detector_option
@engine_option
@precision_option
@outscale_option
@threads_option
@click.option("--detect-source", metavar="URL", help="A smaller stream of the camera, to detect faces in.")
@click.option("--transport", type=click.Choice(["auto", "tcp", "udp"]), help="Of RTSP.  [auto]")
@hwaccel_option
@click.option("--port", type=click.IntRange(0, 65535), help="Serve a web page, /healthz and /metrics; 0: a free port.")
@click.option("--host", metavar="ADDRESS", help="Address of the web page.  [127.0.0.1]")
@path_option("--token-file", help="Token of the web page; a missing file is created.")
@path_option("--record", help="Record the run to FILE, without pictures.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[info]")
@click.option("--check", is_flag=True, help="Validate, print what would run, and exit.")
@json_option("Summary of the run, or with --check what would run,")
def command(sources: tuple[str, ...], check: bool, json_file: str | None, **options: Any) -> None:
    """Upscale the faces of each SOURCE, a camera index, a URL or a file, until Ctrl-C or the end of all files.

    A YAML file names the cameras and has all options; those of the command line replace them. samples/cameras.yaml is
    an example.

    \b
    Examples:
      facesr-edge live rtsp://camera/main --detect-source rtsp://camera/sub --port 8080
      facesr-edge live 0 1 -o faces.jsonl --budget-ms 50
      facesr-edge live cameras.yaml --check
      facesr-edge live cameras.yaml
    """
    from .options import live_config

    try:
        config = live_config(sources, _given(options))
    except ConfigError as error:
        if len(error.problems) == 1:
            raise
        for line in error.problems:
            say(line)
        raise UsageError(f"{sources[0]} has {len(error.problems)} problems, see above") from error
    if check:
        _print(config, json_file)
    else:
        _run(config, json_file)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The options of the command line, without defaults."""
    ctx, default = click.get_current_context(), click.core.ParameterSource.DEFAULT
    given = {name: value for name, value in options.items() if ctx.get_parameter_source(name) is not default}
    if given.get("small_model") == "none":
        given["small_model"] = None
    return given


def _print(config: LiveConfig, json_file: str | None) -> None:
    from .plan import plan_lines

    if json_file is not None:
        put_json(config.to_dict(), json_file)
    if json_file != STDOUT:
        for line in plan_lines(config):
            show(line)


def _run(config: LiveConfig, json_file: str | None) -> None:
    from .logs import logging_to
    from .run import open_display, run_service

    with open_display() as display, logging_to(display.write, config.log_level):
        done = run_service(config, display)
    if done is None:
        say("stopped before the first frame")
        return
    (say if json_file == STDOUT else show)(done.summary.line)
    note(done.summary.notes)
    if json_file is not None:
        put_json(done.summary.to_dict(), json_file)
    if done.error is not None:
        raise done.error
