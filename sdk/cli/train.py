"""``facesr-edge train``: train a network by a recipe; an interrupted run is resumed."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...engines.errors import one_line
from ...zoo import catalogue
from .console import Stopped, progress, say
from .options import Command, option, path_option, set_option, threads_option

if TYPE_CHECKING:
    from ...training.trainer import TrainProgress

LINES = 10
"""Lines on the progress of recording pairs where standard error is not a terminal."""


@click.command("train", cls=Command, short_help="Train a network by a recipe; training is resumable.")
@click.option("--model", metavar="NAME", required=True, help="Network: idrn, edge, sisn, detector, …")
@path_option(
    "--faces",
    metavar="DIR",
    multiple=True,
    required=True,
    help="Training faces; for the detector, labels.json and images/. Camera recipes: repeat for several folders.",
)
@path_option("--scenes", metavar="DIR", help="Camera recipes: backgrounds without faces.  [default: synthetic ones]")
@path_option("--pairs", metavar="DIR", help="Camera recipes: cache of recordings.  [default: OUTPUT/pairs]")
@path_option("--val-faces", metavar="DIR", help="Validation faces, evaluated every 1,000 steps and at the end.")
@path_option("-o", "--output", metavar="DIR", help="Folder of checkpoint and weights.  [default: ./NAME-RECIPE]")
@path_option("--teacher", metavar="FILE", help="Teacher for distillation: a bundle, or for the detector a YuNet file.")
@path_option(
    "--init-weights", metavar="FILE", help="Initial weights: tensors that fit are used; edge grows from smaller ones."
)
@path_option(
    "--perceptual-weights", metavar="FILE", help="VGG-19 weights of torchvision, for paper recipes of mffcn and crl."
)
@option(
    "--recipe",
    default="cpu",
    metavar="NAME",
    help="cpu or paper; idrn and edge: camera; edge: nano, tiny, small; edge-track: track; both: finetune, int8.",
)
@click.option("--scale", type=click.IntRange(min=2), help="Upscaling factor.  [default: the recipe's]")
@click.option("--depth", type=click.IntRange(min=1), help="Number of blocks.  [default: the recipe's]")
@click.option("--width", type=click.IntRange(min=1), help="Number of channels.  [default: the recipe's]")
@set_option("the recipe")
@click.option("--steps", type=click.IntRange(min=1), help="Optimizer steps.  [default: the recipe's]")
@click.option("--batch", type=click.IntRange(min=1), help="Samples per step.  [default: the recipe's]")
@option(
    "--lr-scale",
    type=float,
    default=1.0,
    metavar="FACTOR",
    help="Factor of the recipe's learning rates; below 1 to continue from trained weights.",
)
@option("--device", default="cpu", metavar="NAME", help="cpu, cuda, or cuda:NUMBER.")
@option("--workers", default=1, type=click.IntRange(min=1), help="Threads that prepare batches.")
@threads_option
def command(model: str, faces: tuple[Path, ...], output: Path | None, recipe: str, **options: Any) -> None:
    """Train a network. Interrupt with Ctrl-C; the same command resumes from the last checkpoint.

    \b
    facesr-edge train --model idrn --faces faces/train --val-faces faces/test -o trained
    facesr-edge build --model idrn --weights trained/weights.safetensors
    facesr-edge train --model detector --faces scenes --teacher yunet.onnx
    facesr-edge train --model sisn --faces faces/train --set groups=5 --set blocks=5
    facesr-edge train --model edge-track --faces faces/train --init-weights edge-tiny-x4-camera/weights.safetensors
    facesr-edge train --model crl --recipe paper --faces faces/train --perceptual-weights vgg19.pth
    """
    from ...training.train import train_model

    folder = output or Path(f"{model}-{recipe}")
    with progress("steps") as bar:
        task = bar.add_task(f"{model} {recipe}", total=None)

        def show(now: TrainProgress) -> None:
            loss = "" if isnan(now.loss) else f"loss {now.loss:.4f}"  # NaN: training was already complete
            bar.update(task, completed=now.step, total=now.steps, description=f"{model} {loss}")
            if now.scores:
                scores = ", ".join(f"{name} {value:.4g}" for name, value in now.scores.items())
                parts = [part for part in (loss, scores, f"{now.steps_per_second:.1f} steps/s") if part]
                line = f"step {now.step}/{now.steps}: {', '.join(parts)}"
                bar.console.print(line, highlight=False, soft_wrap=True) if bar.console.is_terminal else say(line)

        tenths: dict[str, int] = {}

        def prepare(what: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=what)
            tenth = LINES * done // total
            if tenths.get(what) != tenth:
                tenths[what] = tenth
                if not bar.console.is_terminal:
                    say(f"{what}: {done} of {total} shards")

        try:
            weights = train_model(
                model,
                faces,
                folder,
                recipe=recipe,
                detector=catalogue.FOLDER / catalogue.DEFAULT_DETECTOR,
                report=show,
                prepare=prepare,
                **options,
            )
        except KeyboardInterrupt:
            checkpoint = folder / "checkpoint.pt"
            if checkpoint.exists():
                raise Stopped(f"interrupted; the same command resumes from {checkpoint}") from None
            if tenths:
                raise Stopped("interrupted; the same command continues with the pairs that are recorded") from None
            raise
    click.echo(one_line(f"{weights}; next: facesr-edge build --model {model} --weights {weights}"))
