"""``facesr-edge export triton``: a model repository of Triton Inference Server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from ....zoo.catalogue import DEFAULT_DETECTOR, DEFAULT_MODEL
from ..console import say, show
from ..options import Command, min_face_option, option, outscale_option, path_option, score_option

if TYPE_CHECKING:
    from ...serving.triton.layout import Backend

NO_DETECTOR = "none"


@click.command("triton", cls=Command, short_help="Write a model repository of Triton Inference Server.")
@click.argument("models", metavar="[NAME|FOLDER]...", nargs=-1)
@path_option("-o", "--output", help="Folder of the repository.", required=True)
@option(
    "--backend",
    type=click.Choice(["onnxruntime", "openvino", "tensorrt"]),
    default="onnxruntime",
    help="Backend of Triton; tensorrt needs bundles with engines.",
)
@option("--precision", default="auto", metavar="NAME", help="Precision of the graphs: auto (the card's), fp32 or int8.")
@option(
    "--detector",
    metavar="NAME|FOLDER|none",
    default=DEFAULT_DETECTOR,
    help="Detector of the models that take frames; none for networks only.",
)
@option(
    "--instances", type=click.IntRange(min=1), metavar="N", default=1, help="Copies of each model that run at once."
)
@option(
    "--pipelines",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    help="Frames in work at once in each model that takes frames; 0: as --instances.",
)
@option("--max-batch", type=click.IntRange(min=1), metavar="N", default=8, help="Maximum crops of a batch.")
@option(
    "--threads", type=click.IntRange(min=0), metavar="N", default=0, help="CPU threads of an instance; 0: one per core."
)
@option(
    "--queue-delay-us",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    help="Microseconds that Triton waits for more requests to batch.",
)
@outscale_option
@min_face_option
@score_option
@click.option("--add-version", is_flag=True, help="Add a version to models that the repository has already.")
def command(
    models: tuple[str, ...],
    output: Path,
    backend: str,
    precision: str,
    detector: str,
    instances: int,
    pipelines: int,
    max_batch: int,
    threads: int,
    queue_delay_us: int,
    outscale: int,
    min_face: float,
    score: float,
    add_version: bool,
) -> None:
    """Write networks, detector, and models that take frames and return faces.

    Without a model: the default model.
    """
    from ....zoo import catalogue
    from ...serving.triton.config import ServingOptions
    from ...serving.triton.repository import FacesOptions, export_repository

    exported = export_repository(
        [catalogue.find(name) for name in models or (DEFAULT_MODEL,)],
        output,
        detector=None if detector == NO_DETECTOR else catalogue.find(detector),
        backend=cast("Backend", backend),
        precision=precision,
        max_batch=max_batch,
        options=ServingOptions(instances, threads, queue_delay_us, pipelines),
        faces=FacesOptions(outscale, min_face, score),
        add_version=add_version,
    )
    for one in exported:
        show(f"{output / one.name}: version {one.version}, {one.backend}")
    if any(one.backend == "python" for one in exported):
        say("models that take frames need facesr-edge in the server's Python; see docs/triton.md")
