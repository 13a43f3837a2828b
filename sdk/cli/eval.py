"""``facesr-edge eval``: quality of a super-resolution model on held-out faces, or of a detector on labelled scenes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ...zoo.catalogue import DEFAULT_MODEL
from .console import progress, put_json, say
from .options import (
    STDOUT,
    Command,
    detector_option,
    engine_option,
    json_option,
    min_face_option,
    most_option,
    path_option,
    references_option,
    score_option,
    threads_option,
)

if TYPE_CHECKING:
    from ...calibration.metrics.evaluate import Measure

ON_FACES = (
    *("faces", "model", "all", "degradation", "lpips_weights", "recognizer", "sheet"),
    *("references", "most", "ablation"),
)
ON_SCENES = ("scenes", "detector", "beside", "split", "review", "misses", "score", "min_face")
"""Options that belong to one kind of evaluation alone."""


@click.command("eval", cls=Command, short_help="Quality of a model on faces, of a detector on labelled scenes.")
@path_option("--faces", metavar="DIR", help="Pictures of faces, 128x128 or larger, not trained on.")
@click.option(
    "--model",
    multiple=True,
    metavar="NAME|FOLDER",
    default=(DEFAULT_MODEL,),
    show_default=True,
    help="Zoo name or bundle folder; once for each of several models.",
)
@click.option("--all", is_flag=True, help="Every super-resolution model that ships, in one table.")
@click.option(
    "--degradation",
    metavar="NAME",
    default="bicubic",
    show_default=True,
    help="How faces become small: bicubic as in the papers, or camera.",
)
@path_option("--lpips-weights", metavar="FILE", help="AlexNet as torchvision has it (.pth), for LPIPS and MPS.")
@path_option("--recognizer", metavar="ONNX", help="A network like ArcFace: is it still the same person?")
@references_option
@most_option
@click.option("--ablation", is_flag=True, help="With --references: the figures of the model with 0, 1, … of them.")
@path_option("--sheet", metavar="FILE", help="Draw some faces beside bicubic and the truth into FILE (NAME.png).")
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
    """Measure models as the papers do: faces are shrunk by bicubic, enlarged again, and compared with themselves.

    Or measure a detector on scenes whose faces are labelled: recall at 90 % precision and average precision by size,
    landmarks, false alarms, and the time of a frame.

    \b
    facesr-edge eval --model idrn-x4 --faces held-out/
    facesr-edge eval --all --faces held-out/ --sheet sheet.png
    facesr-edge eval --model msrnet-x8 --faces held-out/ --references library --ablation
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
    if {"model", "all"} <= given:
        raise click.UsageError("--model cannot be given with --all: name the models, or take every one")
    if options["faces"] is None and options["scenes"] is None:
        raise click.UsageError("say what to measure on: --faces DIR for a model, --scenes DIR for a detector")
    common: dict[str, Any] = {"engine": engine, "threads": threads, "json_file": json_file}
    if options["ablation"]:
        _ablate(options, engine, threads, json_file)
    elif options["faces"] is not None:
        _evaluate(**{name: options[name] for name in ON_FACES if name != "ablation"}, **common)
    else:
        _judge(**{name: options[name] for name in ON_SCENES}, **common)


def _ablate(options: dict[str, Any], engine: str, threads: int, json_file: str | None) -> None:
    """One model, its figures by the number of references."""
    from ...calibration.data.faces import read_faces
    from ...zoo import catalogue
    from ..evaluation.compare import ablation
    from .eval_tables import show_ablation

    if options["references"] is None or options["faces"] is None or len(options["model"]) != 1:
        raise click.UsageError("--ablation needs one --model, --faces DIR and --references LIB")
    if options["sheet"] or options["all"] or options["degradation"] != "bicubic":
        raise click.UsageError("--ablation goes without --sheet, --all and --degradation; leave them out")
    bundle, faces = catalogue.find(options["model"][0]), read_faces(options["faces"])
    measures = _measures(options["lpips_weights"], options["recognizer"], threads)
    say(f"{len(faces)} faces of {options['faces']} · {bundle.card.name} {bundle.card.precision}")
    with progress("turns") as bar:
        task = bar.add_task("measuring", total=bundle.card.io_spec.references + 1)
        found = ablation(
            bundle,
            options["references"],
            faces,
            measures=measures,
            engine=engine,
            threads=threads,
            report=lambda done: bar.update(task, completed=done),
        )
    if json_file:
        put_json(found.to_dict(), json_file)
    if json_file != STDOUT:
        show_ablation(found)


def _evaluate(
    faces: Path,
    model: tuple[str, ...],
    all: bool,  # noqa: A002 - named as the option
    degradation: str,
    lpips_weights: Path | None,
    recognizer: Path | None,
    sheet: Path | None,
    json_file: str | None,
    **options: Any,
) -> None:
    from ...calibration.data.faces import read_faces
    from ...calibration.metrics.evaluate import SEED
    from ..evaluation.compare import compare, super_resolution_models
    from ..evaluation.contact_sheet import contact_sheet
    from ..media.images import write_picture
    from .eval_tables import show_faces

    _check_png(sheet, "--sheet")
    models = super_resolution_models() if all else list(dict.fromkeys(model))
    measures = _measures(lpips_weights, recognizer, options["threads"])
    pictures = read_faces(faces)
    say(f"{len(pictures)} faces of {faces} · {degradation}, seed {SEED} · {', '.join(models)}")
    with progress("models") as bar:
        task = bar.add_task("measuring", total=len(models))
        compared = compare(
            models,
            pictures,
            degradation=degradation,
            measures=measures,
            report=lambda done: bar.update(task, completed=done),
            **options,
        )
    if json_file != STDOUT:
        show_faces(compared)
    if json_file:
        put_json(compared.to_dict(), json_file)
    if sheet:
        write_picture(sheet, contact_sheet(compared))
        say(f"{sheet}: some of the faces, beside bicubic and the truth")


def _measures(lpips_weights: Path | None, recognizer: Path | None, threads: int) -> dict[str, Measure]:
    """What is measured: always PSNR, SSIM and VIF, the rest where its network was given."""
    from ...calibration.metrics.evaluate import MEASURES
    from ...engines.errors import MissingDependencyError

    measures = dict(MEASURES)
    if lpips_weights:
        try:
            from ...networks.perceptual import lpips
        except ImportError:
            raise MissingDependencyError("PyTorch", "build", "LPIPS") from None
        measures["lpips"] = lpips(lpips_weights)
    if recognizer:
        from ...calibration.metrics.identity import recognition

        measures["recognition"] = recognition(recognizer, threads)
    return measures


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
    from ...calibration.data.detection import read_scenes
    from ..evaluation.detectors import benchmark_detectors
    from ..evaluation.error_sheet import error_sheet
    from ..media.images import write_picture
    from .eval_tables import show_detectors

    _check_png(misses, "--misses")
    pictures = read_scenes(scenes, split, review)
    models = [detector, beside] if beside else [detector]
    labels = f"split {split}, labels reviewed by {review.name}" if review else f"split {split}"
    say(f"{len(pictures)} pictures of {scenes} · {labels} · {' beside '.join(models)}")
    with progress("pictures") as bar:
        task = bar.add_task("judging", total=len(pictures))
        measured = benchmark_detectors(
            models, pictures, report=lambda done: bar.update(task, completed=done), **options
        )
    if misses:
        first = measured.detectors[0]
        title = f"Where {first.name} is wrong: {len(pictures)} pictures of {scenes.resolve().name}, split {split}"
        write_picture(misses, error_sheet(first, title))
    if json_file:
        about = {"scenes": str(scenes), "split": split, "review": str(review) if review else None}
        put_json({**about, **measured.to_dict()}, json_file)
    if json_file != STDOUT:
        show_detectors(measured)
    if misses:
        say(f"{misses}: missed faces and false alarms, the worst first")


def _check_png(file: Path | None, option: str) -> None:
    if file and file.suffix.lower() != ".png":
        raise click.BadParameter(f"expected a file that ends in .png, got {file}", param_hint=option)


def _spelt(name: str) -> str:
    return f"--{name.replace('_', '-')}"
