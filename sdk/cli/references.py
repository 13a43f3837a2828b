"""``facesr-edge references``: reference libraries for reference-based super-resolution."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...engines.errors import printable
from .console import progress, put_json, results, say
from .options import STDOUT, Command, json_option, option, path_option, threads_option

if TYPE_CHECKING:
    from ...engines.references.library import Library

model_option = option(
    "--model",
    metavar="NAME|FOLDER",
    default="msrnet-x8",
    help="Zoo model or bundle folder of the reference-based network.",
)


@click.group("references", short_help="Build and inspect reference libraries for reference-based models.")
def command() -> None:
    """Build and inspect libraries of reference faces for reference-based super-resolution (MSRNet)."""


@command.command("build", cls=Command, short_help="Build a library from a folder of faces.")
@click.argument("faces", metavar="FACES", type=click.Path(path_type=Path))
@path_option("-o", "--output", metavar="LIB", required=True, help="Output folder.")
@model_option
@path_option(
    "--embedder",
    metavar="ONNX",
    help="Face recognition network (ArcFace) that selects references.  [default: features of the model]",
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Use the first N images by name.  [default: all]"
)
@click.option("--mirrored", is_flag=True, help="Also add the mirror image of each face.")
@threads_option
@json_option("The summary of the library")
def build(faces: Path, output: Path, model: str, json_file: str | None, **options: Any) -> None:
    """Encode the faces of a folder into a reference library; 1.2 MB per face with msrnet-x8.

    Images need at least 128x128 pixels; larger ones are resized to 144 pixels, then the center 128x128 is used. Faces
    of similar pose and lighting help most; they need not show the same person.

    \b
    Examples:
      facesr-edge references build faces/train -o library --limit 300
      facesr-edge run clip.mp4 -o upscaled.mp4 --model msrnet-x8 --references library
    """
    from ...zoo import catalogue
    from ..media.images.image_file import image_paths
    from ..pipeline.references import build_library

    bundle = catalogue.find(model)
    with progress("faces") as bar:
        task = bar.add_task("encoding", total=len(image_paths(faces)[: options["limit"]]))
        library = build_library(faces, output, bundle, report=lambda done: bar.update(task, completed=done), **options)
    _show_library(library, json_file)


@command.command("inspect", cls=Command, short_help="Show the contents of a library.")
@click.argument("library", metavar="LIB", type=click.Path(path_type=Path))
@json_option("The summary of the library")
def inspect(library: Path, json_file: str | None) -> None:
    """Show the contents of a library: faces, model and size."""
    from ...engines.references.library import open_library

    _show_library(open_library(library), json_file)


@command.command("show", cls=Command, short_help="Draw a face with its nearest references and the results.")
@click.argument("library", metavar="LIB", type=click.Path(path_type=Path))
@click.argument("face", metavar="FACE", type=click.Path(path_type=Path))
@path_option("-o", "--output", metavar="FILE", required=True, help="Output image (.png).")
@path_option("--faces", metavar="DIR", required=True, help="Folder from which the library was built.")
@model_option
@threads_option
def show(library: Path, face: Path, output: Path, faces: Path, model: str, threads: int) -> None:
    """Draw the downscaled FACE, its nearest references and the results with 0 to 5 references; print their metrics."""
    from ...zoo import catalogue
    from ..evaluation.figures import reference_sheet
    from ..media.images.image_file import read_image, write_image

    sheet, metrics = reference_sheet(catalogue.find(model), library, read_image(face), face, faces, threads)
    write_image(output, sheet)
    for line in metrics:
        click.echo(printable(line))
    say(f"{output}: top row input, ground truth and nearest references; bottom row results with 0 and more references")


def _show_library(library: Library, json_file: str | None) -> None:
    manifest = library.manifest
    size = sum(path.stat().st_size for path in library.folder.iterdir())
    images = len({entry.file for entry in manifest.entries})
    mirrored = any(entry.mirrored for entry in manifest.entries)
    if json_file:
        document = {
            "library": str(library.folder),
            "model": manifest.model,
            "images": images,
            "entries": len(library),
            "bytes": size,
            "embedder": manifest.embedder or "features of the model",
            "positions": library.keys.shape[1],
            "key": library.keys.shape[2],
            "value": library.values.shape[2],
            "files": [entry.file for entry in manifest.entries],
        }
        put_json(document, json_file)
    if json_file != STDOUT:
        size_mb = size / 1e6
        selection = f"embedder {manifest.embedder[:12]}…" if manifest.embedder else "features of the model"
        results().print(
            f"{library.folder}: {images} faces{' and their mirror images' if mirrored else ''}, built with "
            f"{manifest.model}, selection by {selection}, {size_mb:.1f} MB ({size_mb / len(library):.2f} MB per entry)",
            soft_wrap=True,
        )
