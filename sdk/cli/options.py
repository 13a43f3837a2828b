"""Options shared by several commands, and the pipeline that they configure."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ...engines.errors import one_line
from ...engines.references.session import MAX_REFERENCES
from ...zoo.catalogue import DEFAULT_DETECTOR, DEFAULT_MODEL, DEFAULT_SCORE, TRACK
from ..pipeline.tiling import MIN_FACE

if TYPE_CHECKING:
    from ..media.source_sink import Source
    from ..pipeline.pipeline import Pipeline
    from ..pipeline.redetect import DetectEvery

STDOUT = "-"
F = TypeVar("F", bound=Callable[..., Any])


class Command(click.Command):
    """Command with ``--debug``, ``--log-level`` and an optional value for ``--json``.

    ``--json`` means ``--json -`` unless it is followed by ``-`` or a name that ends in .json: ``run --json clip.mp4``
    reads the clip and does not overwrite it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [_DEBUG, _LOG_LEVEL]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command`."""
        pairs = zip(args, [*args, ""][1:], strict=True)
        expanded = [
            "--json=-" if arg == "--json" and value != STDOUT and not value.endswith(".json") else arg
            for arg, value in pairs
        ]
        return super().parse_args(ctx, expanded)


def _set_debug(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    ctx.ensure_object(dict)["debug"] = value


_DEBUG = click.Option(
    ["--debug"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_set_debug,
    help="Show the traceback of an error.",
)


class _StderrLog(logging.Handler):
    """Prints each record as a line on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        click.echo(one_line(f"{record.levelname.lower()}: {record.getMessage()}"), err=True)


def _set_log_level(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    logger, handler = logging.getLogger(__package__.partition(".")[0]), _StderrLog()
    before = logger.level
    logger.setLevel(value.upper())
    logger.addHandler(handler)
    ctx.call_on_close(partial(logger.setLevel, before))
    ctx.call_on_close(partial(logger.removeHandler, handler))


_LOG_LEVEL = click.Option(
    ["--log-level"],
    type=click.Choice(["error", "warning", "info", "debug"]),
    expose_value=False,
    callback=_set_log_level,
    help="Print log records of this level and above to stderr.",
)


def _json_file(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is not None and value != STDOUT and not value.endswith(".json"):
        raise click.BadParameter(f"expected a file that ends in .json, or '-' for standard output, got {value}")
    return value


def json_option(content: str) -> Callable[[F], F]:
    """``--json [FILE]``; `content` describes the document in the help."""
    text = f"{content} as JSON, to FILE (.json) or, without any other output, to stdout."
    return click.option("--json", "json_file", metavar="[FILE]", callback=_json_file, help=text)


def _jsonl_file(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is not None and value != STDOUT and not value.endswith((".jsonl", ".ndjson")):
        raise click.BadParameter(f"expected a file that ends in .jsonl, or '-' for standard output, got {value}")
    return value


jsonl_option = click.option(
    "--jsonl",
    "jsonl_file",
    metavar="FILE|-",
    callback=_jsonl_file,
    help="The same as JSON lines, written frame by frame: the run, each frame, the summary.",
)


def path_option(*names: str, help: str, **settings: Any) -> Callable[[F], F]:  # noqa: A002
    """Option with a path as value."""
    return click.option(*names, type=click.Path(path_type=Path), help=help, **settings)


def _assignments(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    assignments: dict[str, int] = {}
    for value in values:
        name, _, number = value.partition("=")
        if not (name.isidentifier() and number.lstrip("-").isdecimal()):
            raise click.BadParameter(f"expected NAME=NUMBER with a whole number, e.g. groups=5, got {value}")
        if name in assignments:
            raise click.BadParameter(f"{name} is set twice; remove one")
        assignments[name] = int(number)
    return assignments


def parse_capabilities(ctx: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Compute capabilities from a list such as "7.5, 8.9"; empty without the option."""
    if value is None:
        return ()
    names = tuple(filter(None, (name.strip() for name in value.split(","))))
    if not names:
        raise click.BadParameter("expected a list of compute capabilities, e.g. 7.5,8.9, got none")
    return names


def detect_every(ctx: click.Context, option: click.Parameter, value: str) -> DetectEvery:
    """Number of frames, or "auto"."""
    if value != "auto" and not (value.isdecimal() and int(value) > 0):
        raise click.BadParameter(f"expected a number of frames, 1 or more, or auto, got {value}")
    return "auto" if value == "auto" else int(value)


def set_option(target: str) -> Callable[[F], F]:
    """``--set NAME=NUMBER``, repeatable, as the dict ``options``; `target` names the recipe or network in the help."""
    text = f"Set another option of {target}, e.g. groups=5 for sisn; repeatable."
    return click.option("--set", "options", metavar="NAME=NUMBER", multiple=True, callback=_assignments, help=text)


def option_name(parameter: str) -> str:
    """Name of a parameter on the command line."""
    return "--set" if parameter == "options" else f"--{parameter.replace('_', '-')}"


def pipeline_options(function: F) -> F:
    """Options of the pipeline, see `load_pipeline`."""
    for option in (  # click lists options in reverse order of their decorators
        *(max_references_option, references_option, threads_option),
        *(detect_every_option, score_option, min_face_option),
        *(outscale_option, rebuild_option, precision_option, engine_option, detector_option, model_option),
    ):
        function = option(function)
    return function


def track_options(name: str = "--frames") -> Callable[[F], F]:
    """Options of faces of several frames, see `load`.

    Args:
        name: of the option with the number of frames.
    """
    frames = option(
        name,
        "track_frames",
        type=click.IntRange(min=1),
        metavar="K",
        default=1,
        help="Make each face of a video or live source from up to K frames, at most those of the network, 7.",
    )
    return lambda function: frames(track_model_option(function))


def encode_options(function: F) -> F:
    """Options of the output, see `EncodeOptions`."""
    for option in (
        *(no_provenance_option, strip_metadata_option, compression_option, subsampling_option, quality_option),
        *(hwaccel_option, preset_option, crf_option, codec_option),
    ):
        function = option(function)
    return function


def sign_options(function: F) -> F:
    """What signs the output, see `load_credentials`."""
    return sign_option(timestamp_url_option(function))


def decode_options(function: F) -> F:
    """Options of the input, see `open_source`."""
    return deinterlace_option(rate_option(transport_option(function)))


option = partial(click.option, show_default=True)
codec_option = click.option(
    "--codec", metavar="NAME", help="Video codec: h264, hevc, av1, vp9 or the FFmpeg name of an encoder."
)
crf_option = click.option(
    "--crf", type=int, metavar="N", help="Constant quality of a video; lower is better and larger.  [h264: 18]"
)
preset_option = click.option("--preset", metavar="NAME", help="Preset of the video encoder, e.g. veryfast.")
hwaccel_option = click.option(
    "--hwaccel", metavar="NAME", help="Decode and encode videos on hardware: auto, cuda, vaapi, qsv or v4l2m2m."
)
deinterlace_option = option(
    "--deinterlace",
    type=click.Choice(["auto", "off"]),
    default="auto",
    help="Deinterlace interlaced frames of videos; off keeps their fields.",
)
rate_option = click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), metavar="FPS", help="Frames/s of numbered images.  [25]"
)
transport_option = option(
    "--transport",
    type=click.Choice(["auto", "tcp", "udp"]),
    default="auto",
    help="Transport of RTSP; auto for TCP, and UDP where the server refuses it.",
)
quality_option = click.option(
    "--quality",
    type=int,
    metavar="N",
    help="Quality of JPEG, WebP, AVIF, HEIC and JPEG XL, 1 to 100.  [JPEG: 95, WebP: lossless, others: 90]",
)
subsampling_option = click.option(
    "--subsampling", metavar="444|422|420", help="Chroma subsampling of JPEG and AVIF.  [420]"
)
strip_metadata_option = click.option(
    "--strip-metadata", is_flag=True, help="Remove EXIF, with GPS, and XMP of images; ICC profiles stay."
)
no_provenance_option = click.option(
    "--no-provenance", is_flag=True, help="Do not mark outputs with upscaled faces by IPTC's term in XMP and tags."
)
sign_option = click.option(
    "--sign",
    nargs=2,
    metavar="CERT KEY",
    type=click.Path(path_type=Path),
    help="Sign outputs and evidence cards by C2PA: certificate and private key (PEM); see facesr-edge verify.",
)
timestamp_url_option = click.option(
    "--timestamp-url", metavar="URL", help="Time-stamp authority (RFC 3161) for the signatures."
)
compression_option = click.option(
    "--compression", type=int, metavar="N", help="Compression level of PNG, 0 to 9; the default is the fastest."
)
model_option = option("--model", metavar="NAME|FOLDER", default=DEFAULT_MODEL, help="Zoo model or bundle folder.")
detector_option = option(
    "--detector", metavar="NAME|FILE", default=DEFAULT_DETECTOR, help="Zoo model, bundle folder or YuNet ONNX file."
)
track_model_option = option(
    "--track-model",
    metavar="NAME|FOLDER",
    default=TRACK,
    help="Multi-frame network for faces of several frames: zoo model or bundle folder.",
)
identity_option = click.option(
    "--identity", is_flag=True, help="Distance of dlib's face embeddings to those of the ground truth; needs dlib."
)
outscale_option = option(
    "--outscale",
    type=click.IntRange(1, 4),
    metavar="N",
    default=2,
    help="Scale of the output frame relative to the input.",
)
min_face_option = option(
    "--min-face",
    type=float,
    default=MIN_FACE,
    help="Minimum face size in pixels. From 12 px on, larger values are faster; values below 8 px are slower.",
)
score_option = option("--score", type=float, default=DEFAULT_SCORE, help="Minimum detection score, 0 to 1.")
detect_every_option = option(
    "--detect-every",
    metavar="N|auto",
    default="1",
    callback=detect_every,
    help="Detect in the whole frame every N frames of a video or live source, and only around the known faces in "
    "between; auto: every 3 to 8 frames, by what moves.",
)
engine_option = option(
    "--engine", default="auto", metavar="NAME", help="Runtime: auto, tensorrt, tensorrt-rtx, openvino or onnxruntime."
)
precision_option = option(
    "--precision", default="auto", metavar="NAME", help="Precision of both networks: auto, fp32, bf16, fp16 or int8."
)
rebuild_option = click.option(
    "--rebuild",
    is_flag=True,
    help="Build the TensorRT engine of the bundle if it is missing or incompatible with this device.",
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    help="CPU threads that compute at once: of each network, and stages of a video.  [default: one per core]",
)
references_option = click.option(
    "--references",
    metavar="LIB",
    type=click.Path(path_type=Path),
    help="Reference library for a reference-based model; see facesr-edge references build.",
)
max_references_option = option(
    "--max-references",
    type=click.IntRange(min=1),
    metavar="N",
    default=MAX_REFERENCES,
    help="Maximum number of references per face.",
)


def load_pipeline(options: dict[str, Any], composite: bool = True, uncertainty: bool = False) -> Pipeline:
    """Load the pipeline configured by `pipeline_options` and `track_options`; without `composite` it creates faces
    only, with `uncertainty` its faces have theirs."""
    from ..load import load, load_detector

    common = {name: options[name] for name in ("engine", "threads", "rebuild", "precision")} | {"report": _announce}
    detector = load_detector(options["detector"], score=options["score"], min_face=options["min_face"], **common)
    return load(
        options["model"],
        detector=detector,
        outscale=options["outscale"],
        detect_every=options["detect_every"],
        composite=composite,
        references=options["references"],
        max_references=options["max_references"],
        uncertainty=uncertainty,
        frames=options.get("track_frames", 1),
        track_model=options.get("track_model", TRACK),
        **common,
    )


def _announce(line: str) -> None:
    """Print a line to a terminal; a log needs none."""
    if sys.stderr.isatty():
        click.echo(line, err=True)


def run_summary(pipeline: Pipeline, source: Source) -> str:
    """Source, model and runtime in one line."""
    size = "{}x{}".format(*source.size_wh) if source.size_wh else source.kind
    return pipeline_line(f"{source.name} ({size})", pipeline)


def pipeline_line(inputs: str, pipeline: Pipeline) -> str:
    """Inputs, model and runtime in one line."""
    line = f"{inputs} · {pipeline.card.name} {pipeline.session.precision} · {pipeline.session.runtime}"
    if pipeline.multi_frame is None:
        return line
    network = pipeline.multi_frame.network
    return f"{line} · up to {pipeline.frames} frames: {network.card.name} {network.session.precision}"
