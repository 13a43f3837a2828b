"""``facesr-edge references``: libraries of faces that a network borrows detail from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import progress, put_json, results, say
from .options import STDOUT, Command, json_option, path_option, threads_option

if TYPE_CHECKING:
    from ...engines.onnxruntime.reference_library import Library

MODEL = "msrnet-x8"


def model_option(function: Any) -> Any:
    """``--model``, of a network that borrows."""
    text = "Zoo name or bundle folder of the network that will borrow."
    return click.option("--model", metavar="NAME|FOLDER", default=MODEL, show_default=True, help=text)(function)


@click.group("references", short_help="Libraries of faces that a network borrows detail from.")
def command() -> None:
    """Make libraries of other people's faces, from which a network like MSRNet borrows detail."""


@command.command("build", cls=Command, short_help="Make a library of a folder of faces.")
@click.argument("faces", metavar="FACES", type=click.Path(path_type=Path))
@path_option("-o", "--output", metavar="LIB", required=True, help="Folder to write.")
@model_option
@path_option(
    "--embedder", metavar="ONNX", help="A network like ArcFace says how alike faces are, not the model itself."
)
@click.option("--limit", type=click.IntRange(min=1), help="Most pictures to take, the first by name.  [default: all]")
@click.option("--mirrored", is_flag=True, help="Keep the mirror image of each face as well.")
@threads_option
@json_option("What the library holds")
def build(faces: Path, output: Path, model: str, json_file: str | None, **options: Any) -> None:
    """Keep what each face of a folder lends: 1.2 MB a face with the model that ships.

    Pictures of 128 pixels or more; the middle 128x128 is taken, larger ones are shrunk to 144 first. Nearly alike in
    pose and light helps most; it need not be the same person.

    \b
    facesr-edge references build faces/train -o library --limit 300
    facesr-edge run clip.mp4 -o larger.mp4 --model msrnet-x8 --references library
    """
    from ...zoo import catalogue
    from ..media.images import picture_paths
    from ..pipeline.references import build_library

    bundle, limit = catalogue.find(model), options["limit"]
    with progress("faces") as bar:
        count = len(picture_paths(faces)[:limit])
        task = bar.add_task("encoding", total=count)
        made = build_library(faces, output, bundle, report=lambda done: bar.update(task, completed=done), **options)
    _tell(made, json_file)


@command.command("inspect", cls=Command, short_help="What a library holds.")
@click.argument("library", metavar="LIB", type=click.Path(path_type=Path))
@json_option("What the library holds")
def inspect(library: Path, json_file: str | None) -> None:
    """Say what a library holds: faces, whose network made it, what it weighs."""
    from ...engines.onnxruntime.reference_library import open_library

    _tell(open_library(library), json_file)


@command.command("show", cls=Command, short_help="A small face, its nearest, and what they add.")
@click.argument("library", metavar="LIB", type=click.Path(path_type=Path))
@click.argument("face", metavar="FACE", type=click.Path(path_type=Path))
@path_option("-o", "--output", metavar="FILE", required=True, help="Picture to write (NAME.png).")
@path_option("--faces", metavar="DIR", required=True, help="The folder that the library was made of.")
@model_option
@threads_option
def show(library: Path, face: Path, output: Path, faces: Path, model: str, threads: int) -> None:
    """Draw a true face made small, the entries of the library it borrows from, and the results with 0 to 5 of them."""
    from ...zoo import catalogue
    from ..evaluation.reference_sheet import reference_sheet
    from ..media.images import read_picture, write_picture

    sheet, said = reference_sheet(catalogue.find(model), library, read_picture(face), face, faces, threads)
    write_picture(output, sheet)
    for line in said:
        click.echo(line)
    say(f"{output}: above the small face, the truth and the nearest; below the results with 0 references and more")


def _tell(library: Library, json_file: str | None) -> None:
    about = library.about
    size = sum(path.stat().st_size for path in library.folder.iterdir())
    pictures = len({entry.file for entry in about.entries})
    mirrored = any(entry.mirrored for entry in about.entries)
    told = {
        "library": str(library.folder),
        "model": about.model,
        "pictures": pictures,
        "entries": len(library),
        "bytes": size,
        "embedder": about.embedder or "the model's own features",
        "positions": library.keys.shape[1],
        "key": library.keys.shape[2],
        "value": library.values.shape[2],
    }
    if json_file:
        put_json({**told, "files": [entry.file for entry in about.entries]}, json_file)
    if json_file != STDOUT:
        by = f"chosen by a network {about.embedder[:12]}…" if about.embedder else "chosen by the model's own features"
        results().print(
            f"{library.folder}: {pictures} faces{', and their mirror images' if mirrored else ''}, made with "
            f"{about.model}, {by}, {size / 1e6:.1f} MB ({size / 1e6 / len(library):.2f} MB an entry)",
            soft_wrap=True,
        )
