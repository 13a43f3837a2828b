"""``facesr-edge eval``: accuracy of super-resolution models on held-out faces, or of detectors on labelled scenes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ...zoo.catalogue import DEFAULT_MODEL
from .console import MAX_NAMES, progress, put_json, say
from .options import (
    STDOUT,
    Command,
    detector_option,
    engine_option,
    identity_option,
    json_option,
    max_references_option,
    min_face_option,
    option,
    option_name,
    path_option,
    references_option,
    score_option,
    threads_option,
)

if TYPE_CHECKING:
    from ...calibration.metrics.evaluate import Metric
    from ...engines.bundle.bundle import Bundle

FACE_OPTIONS = (
    *("faces", "model", "all", "degradation", "crop", "lpips_weights", "recognizer", "identity", "sheet"),
    *("references", "max_references", "ablation", "frames", "single_frame"),
)
DETECTOR_OPTIONS = (
    *("detection_data", "detector", "compare", "split", "label_fixes"),
    *("error_sheet", "score", "min_face"),
)


@click.command("eval", cls=Command, short_help="Accuracy of models on faces, of detectors on labelled scenes.")
@path_option("--faces", metavar="DIR", help="Images of faces, 128x128 or larger, not used for training.")
@option(
    "--model",
    multiple=True,
    metavar="NAME|FOLDER",
    default=(DEFAULT_MODEL,),
    help="Zoo name or bundle folder; repeat for several models.",
)
@click.option("--all", is_flag=True, help="All included super-resolution models, in one table.")
@option(
    "--degradation",
    multiple=True,
    metavar="NAME",
    default=("bicubic",),
    help="How the faces are made small: bicubic as in the papers, camera, …, or all; repeatable.",
)
@click.option(
    "--crop",
    multiple=True,
    type=click.IntRange(min=1),
    metavar="PX",
    help="Side of the small faces; larger pictures are reduced, smaller ones left out. Repeatable.",
)
@path_option("--lpips-weights", metavar="FILE", help="AlexNet weights of torchvision (.pth), for LPIPS and MPS.")
@path_option("--recognizer", metavar="ONNX", help="Network such as ArcFace, for the identity similarity.")
@identity_option
@references_option
@max_references_option
@click.option("--ablation", is_flag=True, help="With --references: metrics of the model with 0, 1, … references.")
@click.option(
    "--frames",
    multiple=True,
    type=click.IntRange(min=2),
    metavar="K",
    help="Of a multi-frame network: frames of each track; repeatable.  [default: 3, 5, 7]",
)
@click.option(
    "--single-frame",
    metavar="NAME|FOLDER",
    help=f"Of a multi-frame network: model to compare it with.  [default: {DEFAULT_MODEL} at its scale]",
)
@path_option("--sheet", metavar="FILE", help="Contact sheet of faces with bicubic and ground truth (NAME.png).")
@path_option("--detection-data", metavar="DIR", help="Labelled images for a detector: labels.json and images/.")
@detector_option
@click.option("--compare", metavar="NAME|FILE", help="Second detector, benchmarked in the same run.")
@option("--split", default="test", help="Split; images without a split are included.")
@path_option("--label-fixes", metavar="FILE", help="False labels to remove: file name -> label indices (JSON).")
@path_option("--error-sheet", metavar="FILE", help="Figure of missed faces and false positives (NAME.png).")
@score_option
@min_face_option
@engine_option
@click.option(
    "--precision",
    metavar="NAME",
    help="fp32, bf16, fp16 or int8.  [default: that of the bundle; of a detector, the fastest]",
)
@threads_option
@json_option("The metrics")
def command(engine: str, precision: str | None, threads: int, json_file: str | None, **options: Any) -> None:
    """Evaluate super-resolution models as in the papers: downscale faces by bicubic, upscale, compare with the
    original.

    Or evaluate detectors on labelled scenes: recall at 90 % precision and average precision by face size, landmark
    error, false positives, and latency per frame.

    \b
    Examples:
    facesr-edge eval --model idrn-x4 --faces held-out/
    facesr-edge eval --all --faces held-out/ --sheet sheet.png
    facesr-edge eval --faces held-out/ --degradation all --precision int8
    facesr-edge eval --faces large/ --degradation bicubic --degradation camera --crop 32 --crop 64 --crop 128
    facesr-edge eval --model msrnet-x8 --faces held-out/ --references library --ablation
    facesr-edge eval --model my-track-network/ --faces held-out/ --degradation h264-28 --frames 7
    facesr-edge eval --detection-data labelled/ --error-sheet errors.png
    facesr-edge eval --detection-data labelled/ --detector my-detector/ --compare detector
    """
    ctx = click.get_current_context()
    given = {name for name in options if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT}
    for_faces, for_detectors = (
        [option_name(name) for name in names if name in given] for names in (FACE_OPTIONS, DETECTOR_OPTIONS)
    )
    if for_faces and for_detectors:
        raise click.UsageError(
            f"{', '.join(for_faces)} cannot be given with {', '.join(for_detectors)}: "
            "--faces evaluates super-resolution models, --detection-data detectors"
        )
    if {"model", "all"} <= given:
        raise click.UsageError("--model cannot be given with --all; give one of them")
    if options["faces"] is None and options["detection_data"] is None:
        raise click.UsageError("no data; give --faces DIR for a model, or --detection-data DIR for a detector")
    common: dict[str, Any] = {"engine": engine, "threads": threads, "json_file": json_file}
    if options["ablation"]:
        if precision:
            raise click.UsageError("--precision cannot be given with --ablation; build a bundle of that precision")
        _evaluate_references(options, **common)
        return
    common["precision"] = precision
    if options["faces"] is not None and (several := _multi_frame(options)):
        cameras = options["degradation"] if "degradation" in given else ()
        _evaluate_tracks(several, {**options, "degradation": cameras}, **common)
    elif options["frames"] or options["single_frame"]:
        raise click.UsageError("--frames and --single-frame need --faces DIR and a multi-frame network as --model")
    elif options["faces"] is not None:
        others = ("ablation", "frames", "single_frame")
        _evaluate_models(**{name: options[name] for name in FACE_OPTIONS if name not in others}, **common)
    else:
        _evaluate_detectors(**{name: options[name] for name in DETECTOR_OPTIONS}, **common)


def _multi_frame(options: dict[str, Any]) -> Bundle | None:
    """The multi-frame network to evaluate; None if the models are others."""
    from ...engines.bundle.bundle import read_card
    from ...zoo import catalogue

    models = () if options["all"] else options["model"]
    several = [model for model in models if read_card(catalogue.locate(model)).io_spec.frames > 1]
    if several and len(models) > 1:
        raise click.UsageError(
            f"{several[0]} reads several frames and is evaluated alone, on tracks; give no other --model, and a model "
            "to compare it with as --single-frame"
        )
    return catalogue.find(several[0]) if several else None


def _evaluate_tracks(bundle: Bundle, options: dict[str, Any], json_file: str | None, **runtime: Any) -> None:
    """Evaluate a multi-frame network on tracks of the faces."""
    from ...calibration.data.faces import read_faces
    from ...zoo import catalogue
    from ..evaluation.track_conditions import compare_tracks, conditions_of
    from ..evaluation.tracks import CAMERAS
    from .track_tables import print_tracks

    unused = [name for name in ("sheet", "crop", "references") if options[name]]
    if unused:
        raise click.UsageError(f"{option_name(unused[0])} is not for a multi-frame network; leave it out")
    single: Bundle | None = catalogue.find(options["single_frame"] or DEFAULT_MODEL)
    if options["single_frame"] is None and single and single.card.io_spec.scale != bundle.card.io_spec.scale:
        single = None
    faces, cameras = read_faces(options["faces"]), options["degradation"] or CAMERAS
    metrics = _metrics(options["lpips_weights"], options["recognizer"], options["identity"], runtime["threads"])
    say(f"{len(faces)} faces of {options['faces']}, in tracks · {bundle.card.name}")
    with progress("evaluations") as bar:
        total = len(conditions_of(cameras, options["frames"], bundle.card.io_spec.frames))
        task = bar.add_task("evaluating", total=total)
        runtime["report"] = lambda done: bar.update(task, completed=done)
        result = compare_tracks(bundle, faces, cameras, options["frames"], single, metrics=metrics, **runtime)
    if json_file:
        put_json(result.to_dict(), json_file)
    if json_file != STDOUT:
        print_tracks(result)


def _evaluate_references(options: dict[str, Any], json_file: str | None, **runtime: Any) -> None:
    """Evaluate one model by the number of references."""
    from ...calibration.data.faces import read_faces
    from ...zoo import catalogue
    from ..evaluation.compare import ablation
    from .eval_tables import print_ablation

    if options["references"] is None or options["faces"] is None or len(options["model"]) != 1:
        raise click.UsageError("--ablation needs one --model, --faces DIR and --references LIB")
    if options["sheet"] or options["all"] or options["crop"] or options["degradation"] != ("bicubic",):
        raise click.UsageError("--ablation cannot be given with --sheet, --all, --crop or --degradation")
    bundle, faces = catalogue.find(options["model"][0]), read_faces(options["faces"])
    metrics = _metrics(options["lpips_weights"], options["recognizer"], options["identity"], runtime["threads"])
    say(f"{len(faces)} faces of {options['faces']} · {bundle.card.name} {bundle.card.precision}")
    with progress("runs") as bar:
        task = bar.add_task("evaluating", total=bundle.card.io_spec.references + 1)
        runtime["report"] = lambda done: bar.update(task, completed=done)
        result = ablation(bundle, options["references"], faces, metrics=metrics, **runtime)
    if json_file:
        put_json(result.to_dict(), json_file)
    if json_file != STDOUT:
        print_ablation(result)


def _evaluate_models(
    faces: Path,
    model: tuple[str, ...],
    all: bool,  # noqa: A002 - named as the option
    degradation: tuple[str, ...],
    crop: tuple[int, ...],
    lpips_weights: Path | None,
    recognizer: Path | None,
    identity: bool,
    sheet: Path | None,
    json_file: str | None,
    **options: Any,
) -> None:
    from ...calibration.data.faces import read_faces
    from ...calibration.metrics.evaluate import SEED
    from ..evaluation.compare import super_resolution_models
    from ..evaluation.conditions import compare_conditions, degradation_names
    from ..evaluation.figures import contact_sheet
    from ..media.images.image_file import write_image
    from .condition_tables import print_conditions

    _check_png(sheet, "--sheet")
    degradations, crops = degradation_names(degradation), tuple(dict.fromkeys(crop))
    models = super_resolution_models(max(crops, default=0)) if all else list(dict.fromkeys(model))
    if all and (omitted := sorted({*super_resolution_models()} - {*models})):
        say(f"{', '.join(omitted)}: left out, as they do not take crops of {max(crops)} px")
    metrics = _metrics(lpips_weights, recognizer, identity, options["threads"])
    images = read_faces(faces)
    kinds = ", ".join(degradations) if len(degradations) <= MAX_NAMES else f"{len(degradations)} degradations"
    sizes = f" · crops of {', '.join(map(str, crops))} px" if crops else ""
    precision = f" · {options['precision']}" if options["precision"] else ""
    say(f"{len(images)} faces of {faces} · {kinds}, seed {SEED}{sizes} · {', '.join(models)}{precision}")
    with progress("evaluations") as bar:
        task = bar.add_task("evaluating", total=len(models) * len(degradations) * max(len(crops), 1))
        conditions = compare_conditions(
            models,
            images,
            degradations,
            crops,
            metrics=metrics,
            report=lambda done: bar.update(task, completed=done),
            **options,
        )
    if json_file != STDOUT:
        print_conditions(conditions)
    if json_file:
        put_json(conditions.to_dict(), json_file)
    if sheet:
        write_image(sheet, contact_sheet(*conditions.comparisons), upscaled=True)
        say(f"{sheet}: contact sheet written")


def _metrics(lpips_weights: Path | None, recognizer: Path | None, identity: bool, threads: int) -> dict[str, Metric]:
    """The default metrics, and those that need another network and were asked for."""
    from ...calibration.metrics.evaluate import METRICS
    from ...engines.errors import MissingDependencyError

    metrics = dict(METRICS)
    if lpips_weights:
        try:
            from ...networks.perceptual import lpips
        except ImportError:
            raise MissingDependencyError("PyTorch", "build", "LPIPS") from None
        metrics["lpips"] = lpips(lpips_weights)
    if recognizer:
        from ...calibration.metrics.identity import identity_similarity

        metrics["identity"] = identity_similarity(recognizer, threads)
    if identity:
        from ...calibration.metrics.identity_distance import identity_distance

        metrics["identity_distance"] = identity_distance()
    return metrics


def _evaluate_detectors(
    detection_data: Path,
    detector: str,
    compare: str | None,
    split: str,
    label_fixes: Path | None,
    error_sheet: Path | None,
    json_file: str | None,
    **options: Any,
) -> None:
    from ...calibration.data.detection import read_scenes
    from ..evaluation import figures
    from ..evaluation.detectors import benchmark_detectors
    from ..media.images.image_file import write_image
    from .eval_tables import print_detectors

    _check_png(error_sheet, "--error-sheet")
    scenes = read_scenes(detection_data, split, label_fixes)
    models = [detector, compare] if compare else [detector]
    fixes = f", label fixes of {label_fixes.name}" if label_fixes else ""
    say(f"{len(scenes)} images of {detection_data} · split {split}{fixes} · {', '.join(models)}")
    with progress("images") as bar:
        task = bar.add_task("evaluating", total=len(scenes))
        results = benchmark_detectors(models, scenes, report=lambda done: bar.update(task, completed=done), **options)
    if error_sheet:
        first = results.detectors[0]
        title = f"Errors of {first.name}: {len(scenes)} images of {detection_data.resolve().name}, split {split}"
        write_image(error_sheet, figures.error_sheet(first, title))
    if json_file:
        data = {"detection_data": str(detection_data), "split": split}
        put_json({**data, "label_fixes": str(label_fixes) if label_fixes else None, **results.to_dict()}, json_file)
    if json_file != STDOUT:
        print_detectors(results)
    if error_sheet:
        say(f"{error_sheet}: missed faces and false positives written")


def _check_png(file: Path | None, option: str) -> None:
    if file and file.suffix.lower() != ".png":
        raise click.BadParameter(f"expected a file that ends in .png, got {file}", param_hint=option)
