"""``facesr-edge build``: from weights to a bundle that runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...engines.bundle.card import PRECISIONS
from .console import progress, say
from .options import Command, path_option, set_option

if TYPE_CHECKING:
    from ...engines.bundle.bundle import Bundle

COMPILING = ("workspace_mb", "builder_level", "any_gpu", "any_version", "dla", "timing_cache", "log_file")
MEASURES = ("faces", "scenes", "max_ap_drop", "max_psnr_drop", "calibration", "crops")


@click.command("build", cls=Command, short_help="Make a bundle: ONNX, weights and card, checked step by step.")
@click.argument("bundle", metavar="[BUNDLE]", required=False, type=click.Path(path_type=Path))
@click.option("--model", metavar="NAME", help="Network or model of the zoo: idrn, idrn-x4, …")
@click.option("--scale", type=click.IntRange(min=2), help="Enlargement.  [default: the network's]")
@click.option("--depth", type=click.IntRange(min=1), help="Blocks of the network.  [default: the network's]")
@click.option("--width", type=click.IntRange(min=1), help="Channels of the network.  [default: the network's]")
@set_option("the network")
@click.option("--name", metavar="NAME", help="What to call the bundle.  [default: the model's name]")
@path_option("--weights", metavar="FILE", help="Trained weights, .safetensors or .pth.  [default: those of the zoo]")
@click.option("--fp32", is_flag=True, help="Arithmetic in 32 bits; the default.")
@click.option("--fp16", is_flag=True, help="Arithmetic in 16 bits.")
@click.option("--int8", is_flag=True, help="Arithmetic in 8 bits; kept only if it is good enough.")
@path_option("--faces", metavar="DIR", help="Faces to calibrate and measure on.  [default: a few that come along]")
@path_option("--scenes", metavar="DIR", help="For a detector: labels.json and images/.  [default: a sample picture]")
@click.option("--calibration", metavar="METHOD", help="INT8's ranges: minmax, entropy, percentile.  [default: minmax]")
@click.option("--crops", metavar="INPUT", help="Calibrate on the faces in a folder of frames or a video.")
@click.option("--max-ap-drop", type=float, help="Largest loss of a detector's average precision.  [default: 0.01]")
@click.option("--max-psnr-drop", type=float, help="Largest loss of faces in INT8, in dB.  [default: 0.1]")
@click.option("--target", default="auto", show_default=True, help="Runtime: auto, tensorrt, openvino, onnxruntime.")
@click.option("--try-precisions", is_flag=True, help="Note on the card what FP16 and INT8 would lose; with --fp32.")
@click.option("--prepare-only", is_flag=True, help="Make the ONNX and the card; compile later, on the device.")
@path_option("-o", "--output", metavar="DIR", help="Folder of the bundle.  [default: ./NAME-PRECISION, or BUNDLE]")
@click.option("--workspace-mb", type=int, metavar="MB", help="TensorRT: most scratch memory.  [default: all there is]")
@click.option("--builder-level", type=int, metavar="0..5", help="TensorRT: how long it searches.  [default: 3]")
@click.option("--any-gpu", is_flag=True, help="TensorRT: an engine for every GPU from Ampere on, no Jetson; slower.")
@click.option("--any-version", is_flag=True, help="TensorRT: an engine for later versions too; slower.")
@click.option("--dla", type=int, metavar="CORE", help="TensorRT: run on this DLA core of an Orin, the GPU as fallback.")
@path_option("--timing-cache", metavar="DIR", help="TensorRT: keep what kernels take, for faster builds.")
@path_option("--log-file", metavar="FILE", help="TensorRT: write down all that it says.")
def command(bundle: Path | None, target: str, output: Path | None, **options: Any) -> None:
    """Make a bundle of a network, or compile a prepared BUNDLE on this device.

    \b
    facesr-edge build --model idrn --fp16
    facesr-edge build --model detector --int8 --scenes labelled/
    facesr-edge build --model idrn --weights trained/weights.safetensors -o mine
    facesr-edge build idrn-x4-fp16                    compile on this device
    facesr-edge build idrn-x4-fp16 --target tensorrt --timing-cache cache/
    """
    compiling = {name: options.pop(name) for name in COMPILING}
    given = {name: value for name, value in compiling.items() if value is not None and value is not False}
    if bundle is not None:
        odd = [_spelt(name) for name, value in options.items() if value not in (None, {}) and value is not False]
        if odd:
            raise click.UsageError(f"{', '.join(odd)} cannot be given with a BUNDLE, which has its own")
        from ...zoo import catalogue

        done = _compile(catalogue.find(bundle), target, output, given)
        use = "--detector" if done.card.io_spec.task == "face-detection" else "--model"
        click.echo(f"{done.folder} is ready: facesr-edge run INPUT -o OUTPUT {use} {done.folder}")
    elif options["model"] is None:
        raise click.UsageError("say what to build: --model NAME, or the folder of a prepared bundle")
    else:
        _build(target, output, given, **options)


def _compile(bundle: Bundle, target: str, output: Path | None, given: dict[str, Any]) -> Bundle:
    from ...converters.compile import compile_bundle
    from ...engines.tensorrt.builder import CompileOptions

    options = CompileOptions(**given) if given else None
    with progress("%") as bar:
        task = bar.add_task("compiling", total=100.0, visible=False)
        return compile_bundle(
            bundle,
            target,
            folder=output,
            options=options,
            report=say,
            watch=lambda done: bar.update(task, completed=100 * done.fraction, visible=True),
        )


def _build(
    target: str,
    output: Path | None,
    compiling: dict[str, Any],
    prepare_only: bool,
    model: str,
    weights: Path | None,
    name: str | None,
    options: dict[str, int],
    try_precisions: bool,
    **rest: Any,
) -> None:
    precision = _precision({key: rest.pop(key) for key in PRECISIONS})
    measures = {key: rest.pop(key) for key in MEASURES}
    from ...converters.build import build_from
    from ...converters.compile import why_not_tensorrt
    from ...converters.spec import build_spec, merge_options
    from ...training.data.degrade import DEGRADATIONS

    plan = build_spec(model, weights, name, **merge_options(rest, options))
    folder = output or Path(f"{plan.name}-{precision}")
    given = {key: value for key, value in measures.items() if value is not None}
    if "crops" in given:
        given["crops"] = _crops(given["crops"])
    if try_precisions and (precision != "fp32" or plan.network == "detector"):
        raise click.UsageError("--try-precisions is for a super-resolution network in FP32; leave one of the two out")
    bundle = build_from(
        plan, folder, precision=precision, target=target, **given, degradations=DEGRADATIONS, report=say
    )
    if try_precisions:
        from ...converters.quantization.precisions import report_precisions

        bundle = report_precisions(bundle, given.get("faces"), say)
    cannot = why_not_tensorrt() if target == "tensorrt" else ""
    if cannot:
        say(f"prepared, not compiled: {cannot}; copy it to the device, there: facesr-edge build {bundle.folder.name}")
    elif not prepare_only:
        bundle = _compile(bundle, target, None, compiling)
    size = sum(file.stat().st_size for file in bundle.folder.iterdir()) / 1e6
    click.echo(
        f"{bundle.folder}: {bundle.card.name} {precision}, {size:.1f} MB; see facesr-edge inspect {bundle.folder}"
    )


def _spelt(name: str) -> str:
    return "--set" if name == "options" else f"--{name.replace('_', '-')}"


def _crops(source: str) -> list[Any]:
    from ..face_crops import face_crops
    from ..load import load_detector
    from ..media.sources import open_source

    with open_source(source) as frames:
        found = face_crops(frames, load_detector())
    say(f"{len(found)} faces of {source} to calibrate on")
    return found


def _precision(asked: dict[str, bool]) -> Any:
    chosen = [name for name, yes in asked.items() if yes]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(f'--{name}' for name in chosen)} exclude each other; give one")
    return chosen[0] if chosen else "fp32"
