"""What each decision about the edge network and its training is worth: short trainings that differ in one thing each.

    python -m facesr_edge.benchmarks.edge_ablation --faces TRAIN --held-out TEST --teacher BUNDLE -o RUNS

All have the arithmetic and the recipe of *nano* and draw the same faces, so that a row can be held against the first;
rows that finish go on from the first row's network. Whatever was interrupted goes on; `RUNS/ablation.json` has it all.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from facesr_edge.engines.batching import check_threads
from facesr_edge.engines.errors import FacesrError, UsageError
from facesr_edge.networks.edge.network import SIZES, Edge
from facesr_edge.training.data.faces import FacePairs
from facesr_edge.training.recipe import Recipe
from facesr_edge.training.recipes import edge
from facesr_edge.training.tasks import open_teacher
from facesr_edge.training.train import DISTILL_WEIGHT
from facesr_edge.training.trainer import TrainProgress, train

FIRST = "as it is"


def variants() -> dict[str, Recipe]:
    """What is different -> how it is trained, steps apart; all rows, the first first."""
    plain, last = edge.nano(), edge.finish(*SIZES["nano"])
    differing = partial(replace, plain)
    return {
        FIRST: plain,
        "no branches": edge.nano(branches=0),
        "Adam alone": differing(muon=0.0),
        "no moving average": differing(ema=0.0),
        "narrower and deeper: 24 channels, 9 convolutions": edge.nano(24, 9),
        "wider and shallower: 40 channels, 3 convolutions": edge.nano(40, 3),
        "L1 instead of PSNR": differing(losses={"l1": 1.0}),
        "L2 instead of PSNR": differing(losses={"l2": 1.0}),
        "L1 and frequencies instead of PSNR": differing(losses={"l1": 1.0, "frequency": 0.05}),
        "smaller crops: 24 instead of 32 pixels": differing(crop=24 * 4),
        "half of the loss is a teacher's picture": differing(distill_weight=DISTILL_WEIGHT),
        "finished": last,
        "finished with L1": replace(last, losses={"l1": 1.0}),
        "finished with L2": replace(last, losses={"l2": 1.0}),
        "finished with the teacher": replace(last, distill_weight=DISTILL_WEIGHT),
    }


def parameters(recipe: Recipe) -> int:
    """Of the folded network."""
    with torch.device("meta"):
        network = Edge(**{**recipe.config, "branches": False})
    return sum(weight.numel() for weight in network.parameters())


def gain_of(
    name: str, recipe: Recipe, given: argparse.Namespace, first: dict[str, Any] | None
) -> tuple[float, dict[str, Any]]:
    """Train a variant; its gain over bicubic in dB, and its weights."""
    teacher = open_teacher(given.teacher, "super-resolution") if recipe.distill_weight else None
    task = FacePairs(recipe, given.faces, given.held_out, teacher=teacher)
    found: list[TrainProgress] = []
    folder = given.output / name.replace(" ", "-").replace(":", "").replace(",", "")
    try:
        network = train(recipe, task, folder, found.append, start=first if recipe.finetune else None)
    finally:
        if teacher is not None:
            teacher.close()
    return found[-1].scores["gain_db"], network.state_dict()


def save(path: Path, rows: list[dict[str, Any]], given: argparse.Namespace) -> None:
    """Write what was found so far."""
    told = {"steps": given.steps, "finish": given.finish, "teacher": given.teacher.name, "seed": edge.nano().seed}
    path.write_text(json.dumps({**told, "rows": rows}, indent=1) + "\n", "utf-8")


def main() -> None:
    """Train all variants, print a table, and write what is in it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    folder = partial(parser.add_argument, type=Path, metavar="DIR", required=True)
    folder("--faces", help="faces to learn from")
    folder("--held-out", help="faces to measure on")
    folder("--teacher", help="bundle to imitate, of an enlargement by 4")
    folder("-o", "--output", help="folder of the checkpoints")
    parser.add_argument("--steps", type=int, default=2_000, help="of each training")
    parser.add_argument("--finish", type=int, default=500, help="steps of what goes on from the first")
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    first: dict[str, Any] | None = None
    print(f"{'variant':52} {'parameters':>10} {'steps':>6} {'gain dB':>8} {'to the first':>12}")
    try:
        check_threads(given.threads)
        if min(given.steps, given.finish) < 1:
            raise UsageError(f"expected 1 step or more, got {given.steps} and {given.finish}")
        if given.threads:
            torch.set_num_threads(given.threads)
        for name, recipe in variants().items():
            steps = given.finish if recipe.finetune else given.steps
            gain, weights = gain_of(name, replace(recipe, steps=steps), given, first)
            first = weights if first is None else first
            size = parameters(recipe)
            rows.append({"variant": name, "parameters": size, "steps": steps, "gain_db": round(gain, 4)})
            apart = gain - rows[0]["gain_db"]
            print(f"{name:52} {size:10,} {steps:6,} {gain:8.3f} {apart:+12.3f}", flush=True)
            save(given.output / "ablation.json", rows, given)
    except (FacesrError, OSError) as error:
        sys.exit(f"edge_ablation: {error}")


if __name__ == "__main__":
    main()
