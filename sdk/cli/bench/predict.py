"""``facesr-edge bench predict``: predicted latency on Jetson modules that are not at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ....zoo.catalogue import DEFAULT_DETECTOR, DEFAULT_MODEL
from ..console import note, put_json, results
from ..options import STDOUT, Command, json_option, option
from .output import run_progress

if TYPE_CHECKING:
    from rich.table import Table

    from ....engines.bundle.bundle import Bundle
    from ...bench.predict.predict import FramePrediction, Prediction

ALL = "all"


@click.command("predict", cls=Command, short_help="Predicted latency on Jetson Orin and Thor; needs no Jetson.")
@click.option(
    "--model",
    "models",
    metavar="NAME|FOLDER",
    multiple=True,
    help=f"Zoo model or bundle folder; repeatable; all for the zoo.  [default: {DEFAULT_MODEL}, {DEFAULT_DETECTOR}]",
)
@click.option(
    "--device", "devices", metavar="NAME", multiple=True, help="Module and power mode; repeatable.  [default: all]"
)
@option("--precision", default="fp16,int8", metavar="LIST", help="Of fp16,int8.")
@option("--batch", default="1", metavar="N|all", help="Images per call; all: every batch size of the engine.")
@click.option(
    "--faces",
    type=click.IntRange(min=1),
    metavar="N",
    help="Also predict frames with N faces: the detector at its largest size and the faces in batches.",
)
@json_option("The predictions")
def command(
    models: tuple[str, ...],
    devices: tuple[str, ...],
    precision: str,
    batch: str,
    faces: int | None,
    json_file: str | None,
) -> None:
    """Predict the GPU time of a call by a roofline model that is fitted to published measurements on Jetson modules.

    A prediction is no measurement: it has error bars, and facesr-edge profile on the device measures. Each kernel takes
    the longer of its multiply-adds and its memory traffic, plus the time to launch it.

    \b
    facesr-edge bench predict
    facesr-edge bench predict --model all --batch all --json predictions.json
    facesr-edge bench predict --device orin-nano-super --faces 4
    """
    from ...bench.configs import parse_precisions
    from ...bench.predict import predict
    from ...bench.predict.devices import DEVICES, find_device

    chosen = [find_device(name) for name in devices] or list(DEVICES.values())
    wanted = [p for p in predict.PRECISIONS if p in parse_precisions(precision)]
    if not wanted:
        raise click.BadParameter(f"expected --precision of fp16,int8, got {precision}")
    count = _batch(batch)
    bundles = _bundles(models, faces)
    predictions: list[Prediction] = []
    with run_progress() as report:
        for n, bundle in enumerate(bundles):
            report(f"reading {bundle.card.name}", n, len(bundles))
            predictions += predict.predict_bundle(bundle, chosen, wanted, None if faces else count)
    for bundle in bundles:
        missing = [p.upper() for p in wanted if not predict.graph_file(bundle, p)]
        note(f"{bundle.card.name} has no graph in {p}; make one with facesr-edge build" for p in missing)
    frames = predict.predict_frames(predictions, faces) if faces else []
    shown = [p for p in predictions if count in (None, p.batch)]
    if json_file != STDOUT:
        print_predictions(shown, frames)
    if json_file:
        put_json(to_dict(shown, frames), json_file)


def _batch(text: str) -> int | None:
    if text != ALL and not (text.isdecimal() and int(text) > 0):
        raise click.BadParameter(f"expected a number of 1 or more, or all, got {text}", param_hint="--batch")
    return None if text == ALL else int(text)


def _bundles(models: tuple[str, ...], faces: int | None) -> list[Bundle]:
    from ....zoo import catalogue

    names = list(models or (DEFAULT_MODEL, DEFAULT_DETECTOR))
    if ALL in names:
        names = catalogue.names()
    bundles = [catalogue.find(name) for name in dict.fromkeys(names)]
    has_detector = any(bundle.card.io_spec.task == "face-detection" for bundle in bundles)
    return bundles if has_detector or not faces else [*bundles, catalogue.find(DEFAULT_DETECTOR)]


def to_dict(predictions: Sequence[Prediction], frames: Sequence[FramePrediction]) -> dict[str, object]:
    """For JSON."""
    from ...bench.predict.devices import DEVICES
    from ...bench.predict.predict import SHARE, UNCOVERED

    return {
        "kind": "prediction",
        "share_within_error_bars": SHARE,
        "note": UNCOVERED,
        "devices": {name: DEVICES[name].title for name in dict.fromkeys(p.device for p in predictions)},
        "predictions": [prediction.to_dict() for prediction in predictions],
        "frames": [frame.to_dict() for frame in frames],
    }


def print_predictions(predictions: Sequence[Prediction], frames: Sequence[FramePrediction]) -> None:
    """Print a table for each model and precision, and one for frames."""
    from ...bench.predict.predict import SHARE, UNCOVERED

    console = results()
    for model, precision in dict.fromkeys((p.model, p.precision) for p in predictions):
        rows = [p for p in predictions if (p.model, p.precision) == (model, precision)]
        console.print(f"{model} {precision.upper()}: predicted GPU time of a call, ms", style="italic")
        console.print(_grid(rows))
        console.print()
    for model, precision in dict.fromkeys((f.model, f.precision) for f in frames):
        matching = [f for f in frames if (f.model, f.precision) == (model, precision)]
        title = f"{model} {precision.upper()}, frame with {matching[0].faces} faces: predicted GPU time, ms"
        console.print(title, style="italic")
        console.print(_frame_grid(matching))
        console.print()
    console.print(
        f"Predictions, not measurements. ×÷1.2: error bars, for {SHARE:.0%} of networks from ms ÷ 1.2 to ms × 1.2.",
        style="dim",
    )
    console.print(UNCOVERED, style="dim")


def _grid(predictions: Sequence[Prediction]) -> Table:
    """One row per size and batch, one column per device."""
    rows = dict.fromkeys((p.width, p.height, p.batch) for p in predictions)
    cells = {(p.width, p.height, p.batch, p.device): _cell(p) for p in predictions}
    grid = _empty(("size, px", "batch", "GMAC"), dict.fromkeys(p.device for p in predictions))
    for width, height, batch in rows:
        first = next(p for p in predictions if (p.width, p.height, p.batch) == (width, height, batch))
        devices = dict.fromkeys(p.device for p in predictions)
        row = (cells[width, height, batch, device] for device in devices)
        grid.add_row(f"{width}x{height}", str(batch), f"{first.gmac:.2f}", *row)
    return grid


def _frame_grid(frames: Sequence[FramePrediction]) -> Table:
    """One row per crop size, one column per device."""
    devices = dict.fromkeys(f.device for f in frames)
    cells = {(f.side, f.device): _cell(f) for f in frames}
    grid = _empty(("crops, px",), devices)
    for side in dict.fromkeys(f.side for f in frames):
        grid.add_row(f"{side}x{side}", *(cells[side, device] for device in devices))
    return grid


def _empty(columns: Sequence[str], devices: Sequence[str] | dict[str, None]) -> Table:
    from rich.table import Table

    from ...bench.predict.devices import DEVICES

    grid = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        grid.add_column(column, justify="right")
    for device in devices:
        grid.add_column(
            DEVICES[device].title.replace(", ", "\n").replace(" 8 GB", "\n8 GB"), justify="right", no_wrap=True
        )
    return grid


def _cell(p: Prediction | FramePrediction) -> str:
    return f"{p.ms:.{2 if p.ms < 10 else 1}f} ×÷{p.high_ms / p.ms:.2f}"
