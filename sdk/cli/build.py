"""``facesr-edge build``: build a bundle from weights, or compile a prepared bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...engines.bundle.card import PRECISIONS
from ...engines.tensorrt.api import PRODUCTS, RTX, TENSORRT
from ...zoo.catalogue import DEFAULT_MODEL
from .console import print_losses, progress, say, show
from .options import (
    Command,
    engine_option,
    identity_option,
    option_name,
    parse_capabilities,
    path_option,
    set_option,
)

if TYPE_CHECKING:
    from ...calibration.metrics.evaluate import Metric
    from ...engines.bundle.bundle import Bundle
    from ...engines.bundle.io_spec import IOSpec
    from ...engines.tensorrt.options import CompileOptions

COMPILE_OPTIONS = (
    *("workspace_mb", "builder_level", "hardware_compatible", "version_compatible", "dla", "timing_cache", "log_file"),
    "compute_capabilities",
)
"""Command-line options that become `CompileOptions`."""
BUILD_OPTIONS = (
    *("faces", "detection_data", "max_ap_drop", "max_psnr_drop", "calibration", "calib_input"),
    *("degradation", "identity", "single_frame"),
)
"""Command-line options that become `BuildOptions`, besides precision and engine."""


@click.command("build", cls=Command, short_help="Build a bundle: ONNX graph, weights and card, verified step by step.")
@click.argument("bundle", metavar="[BUNDLE]", required=False, type=click.Path(path_type=Path))
@click.option("--model", metavar="NAME", help="Network or zoo model: idrn, idrn-x4, …")
@click.option("--scale", type=click.IntRange(min=2), help="Upscaling factor.  [default: the network's]")
@click.option("--depth", type=click.IntRange(min=1), help="Blocks of the network.  [default: the network's]")
@click.option("--width", type=click.IntRange(min=1), help="Channels of the network.  [default: the network's]")
@set_option("the network")
@click.option("--name", metavar="NAME", help="Name of the bundle.  [default: the model's name]")
@path_option("--weights", metavar="FILE", help="Trained weights, .safetensors or .pth.  [default: those of the zoo]")
@click.option("--fp32", is_flag=True, help="FP32 precision; the default, except for TensorRT-RTX.")
@click.option("--fp16", is_flag=True, help="FP16 precision; the default for TensorRT-RTX.")
@click.option("--int8", is_flag=True, help="INT8 precision; fails if the accuracy drop exceeds the limit.")
@path_option("--faces", metavar="DIR", help="Faces for calibration and evaluation.  [default: sample faces]")
@click.option(
    "--degradation",
    multiple=True,
    metavar="NAME",
    help="Further degradation that the card has an evaluation of, or all; repeatable.",
)
@identity_option
@click.option(
    "--single-frame",
    metavar="NAME|FOLDER",
    help=f"Multi-frame network: model to compare it with.  [default: {DEFAULT_MODEL} at its scale]",
)
@path_option("--detection-data", metavar="DIR", help="For a detector: labels.json, images/.  [default: sample image]")
@click.option("--calibration", metavar="METHOD", help="INT8: minmax, entropy or percentile.  [default: minmax]")
@click.option("--calib-input", metavar="INPUT", help="INT8: calibrate on faces in a video or a folder of frames.")
@click.option("--max-ap-drop", type=float, help="Limit of a detector's loss of average precision.  [default: 0.01]")
@click.option("--max-psnr-drop", type=float, help="Limit of the PSNR loss of INT8 in dB.  [default: 0.1]")
@engine_option
@click.option(
    "--add-precisions", is_flag=True, help="Add INT8 graphs for CPUs, and the loss of FP16, BF16 and INT8 to the card."
)
@click.option("--no-compile", is_flag=True, help="Prepare the bundle only; compile it later on the device.")
@path_option("-o", "--output", metavar="DIR", help="Folder of the bundle.  [default: ./NAME-PRECISION, or BUNDLE]")
@click.option("--workspace-mb", type=int, metavar="MB", help="TensorRT: limit of scratch memory.  [default: no limit]")
@click.option("--builder-level", type=int, metavar="0..5", help="TensorRT: builder optimization level.  [default: 3]")
@click.option("--hardware-compatible", is_flag=True, help="TensorRT: for all GPUs from Ampere on, no Jetson; slower.")
@click.option("--version-compatible", is_flag=True, help="TensorRT: engine for later TensorRT versions too; slower.")
@click.option("--dla", type=int, metavar="CORE", help="TensorRT: use this DLA core of a Jetson Orin, GPU as fallback.")
@path_option("--timing-cache", metavar="DIR", help="TensorRT: cache kernel timings, for faster builds.")
@click.option(
    "--compute-capabilities",
    metavar="LIST",
    callback=parse_capabilities,
    help="TensorRT-RTX: of the GPUs to build for, e.g. 7.5,8.9.  [default: all from 8.0 on]",
)
@path_option("--log-file", metavar="FILE", help="TensorRT: write the builder log to FILE.")
def command(bundle: Path | None, engine: str, output: Path | None, **options: Any) -> None:
    """Build a bundle of a network, or compile a prepared BUNDLE on this device.

    \b
    Examples:
    facesr-edge build --model idrn --fp16
    facesr-edge build --model detector --int8 --detection-data labelled/
    facesr-edge build --model idrn --weights trained/weights.safetensors -o my-model
    facesr-edge build idrn-x4-fp16                    compile on this device
    facesr-edge build idrn-x4-fp16 --engine tensorrt --timing-cache cache/
    facesr-edge build --model idrn --engine tensorrt-rtx     for RTX GPUs, on any machine
    """
    compile_options = _given({name: options.pop(name) for name in COMPILE_OPTIONS})
    if compile_options and engine == "auto":
        engine = TENSORRT.engine  # the only one with options that "auto" chooses
    if bundle is not None:
        if unexpected := _listed(_given(options)):
            raise click.UsageError(f"{unexpected} cannot be given with a BUNDLE; give one of the two")
        from ...zoo import catalogue

        found = catalogue.find(bundle)
        done = _compile(found, engine, output, _checked(compile_options, engine, found.card.precision))
        use = "--detector" if done.card.io_spec.task == "face-detection" else "--model"
        show(f"{done.folder} is ready: facesr-edge run INPUT -o OUTPUT {use} {done.folder}")
    elif options["model"] is None:
        raise click.UsageError("nothing to build; give --model NAME, or the folder of a prepared bundle")
    else:
        _build(engine, output, compile_options, **options)


def _checked(given: dict[str, Any], engine: str, precision: str) -> CompileOptions | None:
    """Options of a compilation, checked before any long step; None without any."""
    from ...converters.options import check_engine_support
    from ...engines.tensorrt.options import CompileOptions

    check_engine_support(engine)
    if not given:
        return None
    product = next((one for one in PRODUCTS.values() if one.engine == engine), None)
    if product is None:
        raise click.UsageError(
            f"--engine {engine} compiles nothing, so {_listed(given)} has no effect; leave it out, or build with "
            f"--engine {TENSORRT.engine}"
        )
    options = CompileOptions(**given)
    options.check(product, precision)
    return options


def _listed(options: dict[str, Any]) -> str:
    return ", ".join(map(option_name, options))


def _compile(bundle: Bundle, engine: str, output: Path | None, options: CompileOptions | None) -> Bundle:
    from ...converters.compile import compile_bundle

    with progress("%") as bar:
        task = bar.add_task("compiling", total=100.0, visible=False)

        def watch(done: Any) -> None:
            bar.update(task, completed=100 * done.fraction, visible=True)

        return compile_bundle(bundle, engine, folder=output, options=options, report=say, watch=watch)


def _build(
    engine: str,
    output: Path | None,
    compile_options: dict[str, Any],
    no_compile: bool,
    model: str,
    weights: Path | None,
    name: str | None,
    options: dict[str, int],
    add_precisions: bool,
    **rest: Any,
) -> None:
    precision = _precision({key: rest.pop(key) for key in PRECISIONS}, "fp16" if engine == RTX.engine else "fp32")
    given = _given({key: rest.pop(key) for key in BUILD_OPTIONS})
    from ...converters.build import build as build_bundle
    from ...converters.compile import why_not_compiled
    from ...converters.options import BuildOptions
    from ...converters.spec import merge_options, resolve
    from ...engines.bundle.bundle import check_writable
    from ...training.data.degrade import DEGRADATIONS
    from ..evaluation.conditions import degradation_names

    spec = resolve(model, weights, name, **merge_options(rest, options))
    source = given.pop("calib_input", None)
    if source is not None:
        given["calib_crops"] = ()  # replaced by the faces of the source, once all options are checked
    if "degradation" in given:
        given["evaluate_on"] = degradation_names(given.pop("degradation"))
    if given.pop("identity", False):
        given["metrics"] = _with_identity()
    given |= _track_options(spec.io_spec, given.pop("single_frame", None))
    if add_precisions and precision != "fp32":
        raise click.UsageError("--add-precisions adds to a bundle in FP32; give it with --fp32 only")
    checked = _checked(compile_options, engine, precision)
    reason = why_not_compiled(engine)
    if checked and (no_compile or reason):
        without = reason or "--no-compile compiles nothing"
        raise click.UsageError(f"{_listed(compile_options)} has no effect: {without}; give it on the device")
    folder = output or Path(f"{spec.name}-{precision}")
    build_options = BuildOptions(precision=precision, engine=engine, degradations=DEGRADATIONS, **given)
    build_options.check(spec.io_spec, spec.name)
    check_writable(folder)
    if source is not None:
        build_options = replace(build_options, calib_crops=_calib_crops(source, spec.io_spec.crop_sizes))
    bundle = build_bundle(spec, folder, build_options, report=say)
    if add_precisions:
        from ...converters.quantization import precisions

        bundle = precisions.add_precisions(
            bundle, given.get("faces"), given.get("detection_data"), say, build_options.tracks
        )
    if engine == TENSORRT.engine and (reason or no_compile):
        from ...converters.builder_check import check_with_builder

        check_with_builder(bundle, say)
    if reason:
        say(
            f"prepared, not compiled: {reason}; copy it to the device and run: facesr-edge build {bundle.folder.name} "
            f"--engine {engine}"
        )
    elif not no_compile:
        bundle = _compile(bundle, engine, None, checked)
    size = sum(file.stat().st_size for file in bundle.folder.iterdir()) / 1e6
    show(f"{bundle.folder}: {bundle.card.name} {precision}, {size:.1f} MB; see facesr-edge inspect {bundle.folder}")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Options that the user gave, without unset values and flags."""
    return {name: value for name, value in options.items() if value not in (None, {}, ()) and value is not False}


def _track_options(io_spec: IOSpec, single_frame: str | None) -> dict[str, Any]:
    """Cameras that record tracks for a multi-frame network, and the network that it is compared with."""
    from ...zoo import catalogue

    if io_spec.frames == 1:
        return {"single_frame": catalogue.find(single_frame)} if single_frame else {}
    from ..evaluation.tracks import CAMERAS, RECORDERS

    single = catalogue.find(single_frame or catalogue.DEFAULT_MODEL)
    suits = single_frame is not None or single.card.io_spec.scale == io_spec.scale
    return {"tracks": {name: RECORDERS[name] for name in CAMERAS}, "single_frame": single if suits else None}


def _with_identity() -> dict[str, Metric]:
    from ...calibration.metrics.evaluate import METRICS
    from ...calibration.metrics.identity_distance import identity_distance

    return {**METRICS, "identity_distance": identity_distance()}


def _calib_crops(source: str, sides: tuple[int, ...]) -> list[Any]:
    from ..face_crops import face_crops
    from ..load import load_detector
    from ..media.sources import open_source

    with open_source(source) as frames:
        crops = face_crops(frames, load_detector(), sides=sides)
    print_losses(frames)
    say(f"calibrating on {len(crops)} faces of {source}")
    return crops


def _precision(flags: dict[str, bool], default: str) -> Any:
    chosen = [name for name, given in flags.items() if given]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(f'--{name}' for name in chosen)} exclude each other; give one")
    return chosen[0] if chosen else default
