"""``facesr-edge train``: a paper's recipe, or one for a CPU; goes on where it stopped."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import Stopped, progress, say
from .options import Command, path_option, set_option, threads_option

if TYPE_CHECKING:
    from ...training.trainer import TrainProgress


@click.command("train", cls=Command, short_help="Train a network by its recipe; goes on where it stopped.")
@click.option("--model", metavar="NAME", required=True, help="Network: idrn, sisn, detector, …")
@path_option(
    "--faces", metavar="DIR", required=True, help="Pictures of faces; for the detector, labels.json and images/."
)
@path_option("--held-out", metavar="DIR", help="Faces to measure on while it trains.")
@path_option("-o", "--output", metavar="DIR", help="Folder of checkpoint and weights.  [default: ./NAME-RECIPE]")
@path_option("--teacher", metavar="FILE", help="Network to imitate: a bundle, or for the detector a YuNet ONNX file.")
@path_option("--start", metavar="FILE", help="Weights to start from: what fits is taken; edge grows from smaller ones.")
@path_option(
    "--perceptual-weights", metavar="FILE", help="VGG-19 as torchvision saves it: paper recipes of mffcn, crl."
)
@click.option(
    "--recipe",
    default="cpu",
    show_default=True,
    metavar="NAME",
    help="cpu, paper; of idrn and edge also camera, of edge nano, tiny, small, finish, int8.",
)
@click.option("--scale", type=click.IntRange(min=2), help="Enlargement.  [default: the recipe's]")
@click.option("--depth", type=click.IntRange(min=1), help="Blocks of the network.  [default: the recipe's]")
@click.option("--width", type=click.IntRange(min=1), help="Channels of the network.  [default: the recipe's]")
@set_option("the recipe")
@click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps.  [default: the recipe's]")
@click.option("--batch", type=click.IntRange(min=1), help="Samples a step.  [default: the recipe's]")
@click.option(
    "--rate",
    type=float,
    default=1.0,
    show_default=True,
    metavar="FACTOR",
    help="Times the recipe's rates: less than 1 to go on from trained weights.",
)
@click.option("--device", default="cpu", show_default=True, metavar="NAME", help="cpu, cuda, or cuda:NUMBER.")
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(min=1), help="Threads that draw batches ahead."
)
@threads_option
def command(model: str, faces: Path, output: Path | None, recipe: str, **options: Any) -> None:
    """Train a network. Stop it at will with Ctrl-C: the same command goes on from its last checkpoint.

    \b
    facesr-edge train --model idrn --faces faces/train --held-out faces/test -o trained
    facesr-edge build --model idrn --weights trained/weights.safetensors
    facesr-edge train --model detector --faces scenes --teacher yunet.onnx
    facesr-edge train --model sisn --faces faces/train --set groups=5 --set blocks=5
    facesr-edge train --model crl --recipe paper --faces faces/train --perceptual-weights vgg19.pth
    """
    from ...training.train import train_model

    folder = output or Path(f"{model}-{recipe}")
    with progress("steps") as bar:
        task = bar.add_task(f"{model} {recipe}", total=None)

        def show(now: TrainProgress) -> None:
            loss = "" if isnan(now.loss) else f"loss {now.loss:.4f}"  # nothing was left to do
            bar.update(task, completed=now.step, total=now.steps, description=f"{model} {loss}")
            if now.scores:
                scores = ", ".join(f"{name} {value:.4g}" for name, value in now.scores.items())
                told = [part for part in (loss, scores, f"{now.steps_per_second:.1f} steps/s") if part]
                line = f"step {now.step}/{now.steps}: {', '.join(told)}"
                bar.console.print(line, highlight=False, soft_wrap=True) if bar.console.is_terminal else say(line)

        try:
            weights = train_model(model, faces, folder, recipe=recipe, report=show, **options)
        except KeyboardInterrupt:
            if not (folder / "checkpoint.pt").exists():
                raise
            raise Stopped(f"stopped; the same command goes on from {folder / 'checkpoint.pt'}") from None
    click.echo(f"{weights}; next: facesr-edge build --model {model} --weights {weights}")
