"""``facesr-edge eval``: quality of a super-resolution model on held-out faces, or of a detector on labelled scenes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ...zoo.catalogue import DEFAULT_MODEL
from .options import (
    STDOUT,
    Command,
    detector_option,
    engine_option,
    json_option,
    min_face_option,
    model_option,
    path_option,
    score_option,
    threads_option,
)
from .screen import progress, put_json, results, say

if TYPE_CHECKING:
    from ...calibration.evaluate import Evaluation

ON_FACES = ("faces", "model")
ON_SCENES = ("scenes", "detector", "beside", "split", "review", "misses", "score", "min_face")
"""Options that belong to one kind of evaluation alone."""


@click.command("eval", cls=Command, short_help="Quality of a model on faces, of a detector on labelled scenes.")
@path_option("--faces", metavar="DIR", help="Pictures of faces, 128x128 or larger, not trained on.")
@model_option(DEFAULT_MODEL)
@path_option("--scenes", metavar="DIR", help="Labelled pictures to judge a detector on: labels.json and images/.")
@detector_option
@click.option("--beside", metavar="NAME|FILE", help="A second detector, measured in the same run.")
@click.option("--split", default="test", show_default=True, help="Which of the scenes; those of no split always.")
@path_option("--review", metavar="FILE", help="Labels that are no faces, as a person found: picture -> places, JSON.")
@path_option("--misses", metavar="FILE", help="Draw the detector's worst misses and false alarms into FILE (NAME.png).")
@score_option
@min_face_option
@engine_option
@threads_option
@json_option("The figures")
def command(engine: str, threads: int, json_file: str | None, **options: Any) -> None:
    """Measure a model as the papers do: faces are shrunk by bicubic, enlarged again, and compared with themselves.

    Or measure a detector on scenes whose faces are labelled: recall at 90 % precision and average precision by size,
    landmarks, false alarms, and the time of a frame.

    \b
    facesr-edge eval --model idrn-x4 --faces held-out/
    facesr-edge eval --scenes labelled/ --misses misses.png
    facesr-edge eval --scenes labelled/ --detector mine/ --beside detector
    """
    ctx = click.get_current_context()
    given = {name for name in options if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT}
    on_faces, on_scenes = ([_spelt(name) for name in kind if name in given] for kind in (ON_FACES, ON_SCENES))
    if on_faces and on_scenes:
        raise click.UsageError(
            f"{', '.join(on_faces)} cannot be given with {', '.join(on_scenes)}: "
            "--faces measures a super-resolution model, --scenes a detector"
        )
    if options["faces"] is None and options["scenes"] is None:
        raise click.UsageError("say what to measure on: --faces DIR for a model, --scenes DIR for a detector")
    common: dict[str, Any] = {"engine": engine, "threads": threads, "json_file": json_file}
    if options["faces"] is not None:
        _evaluate(**{name: options[name] for name in ON_FACES}, **common)
    else:
        _judge(**{name: options[name] for name in ON_SCENES}, **common)


def _evaluate(faces: Path, model: str, engine: str, threads: int, json_file: str | None) -> None:
    from ...calibration.crops import read_faces
    from ...calibration.evaluate import evaluate
    from ...engines.choose import open_session
    from ...zoo import catalogue

    bundle = catalogue.find(model)
    session = open_session(bundle, engine, threads)
    pictures = read_faces(faces)
    say(f"{len(pictures)} faces of {faces} · {bundle.card.name} {bundle.card.precision} · {session.runtime}")
    measured = evaluate(session, pictures)
    session.close()
    if json_file:
        about = {"model": bundle.card.name, "precision": bundle.card.precision, "engine": session.runtime}
        put_json({**about, **measured.to_dict()}, json_file)
    if json_file != STDOUT:
        _show(bundle.card.name, measured)


def _show(name: str, m: Evaluation) -> None:
    from rich.table import Table

    table = Table("", box=None, padding=(0, 1), header_style="dim")
    for column in ("PSNR Y", "PSNR RGB", "SSIM Y"):
        table.add_column(column, justify="right")
    for row, y, rgb, ssim in (
        (name, m.psnr_y_db, m.psnr_rgb_db, m.ssim_y),
        ("bicubic", m.bicubic_psnr_y_db, m.bicubic_psnr_rgb_db, m.bicubic_ssim_y),
    ):
        table.add_row(row, f"{y:.2f} dB", f"{rgb:.2f} dB", f"{ssim:.4f}")
    table.add_row(
        "gain",
        f"{m.gain_db:+.2f} dB",
        f"{m.psnr_rgb_db - m.bicubic_psnr_rgb_db:+.2f} dB",
        f"{m.ssim_y - m.bicubic_ssim_y:+.4f}",
        style="bold",
    )
    results().print(table)


def _judge(
    scenes: Path,
    detector: str,
    beside: str | None,
    split: str,
    review: Path | None,
    misses: Path | None,
    json_file: str | None,
    **options: Any,
) -> None:
    from ...calibration.scenes import read_scenes
    from ..judge import judge
    from ..media.pictures import write_picture
    from ..miss_sheet import miss_sheet
    from .judged import show

    if misses and misses.suffix.lower() != ".png":
        raise click.BadParameter(f"expected a file that ends in .png, got {misses}", param_hint="--misses")
    pictures = read_scenes(scenes, split, review)
    models = [detector, beside] if beside else [detector]
    labels = f"split {split}, labels reviewed by {review.name}" if review else f"split {split}"
    say(f"{len(pictures)} pictures of {scenes} · {labels} · {' beside '.join(models)}")
    with progress("pictures") as bar:
        task = bar.add_task("judging", total=len(pictures))
        measured = judge(models, pictures, report=lambda done: bar.update(task, completed=done), **options)
    if misses:
        first = measured.detectors[0]
        title = f"Where {first.name} is wrong: {len(pictures)} pictures of {scenes.resolve().name}, split {split}"
        write_picture(misses, miss_sheet(first, title))
    if json_file:
        about = {"scenes": str(scenes), "split": split, "review": str(review) if review else None}
        put_json({**about, **measured.to_dict()}, json_file)
    if json_file != STDOUT:
        show(measured)
    if misses:
        say(f"{misses}: missed faces and false alarms, the worst first")


def _spelt(name: str) -> str:
    return f"--{name.replace('_', '-')}"
