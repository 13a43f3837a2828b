"""What each decision about the edge network and its training is worth: short trainings that differ in one thing each.

    python -m facesr_edge.benchmarks.edge_ablation --faces TRAIN --held-out TEST --teacher BUNDLE -o RUNS

All have the arithmetic and the recipe of *nano* and draw the same faces, so that a row can be held against the first;
rows that finish go on from the first row's network. Whatever was interrupted goes on; `RUNS/ablation.json` has it all.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from facesr_edge.engines.errors import FacesrError
from facesr_edge.networks.edge import SIZES, Edge
from facesr_edge.training.faces import FacePairs
from facesr_edge.training.loop import Progress, train
from facesr_edge.training.recipe import Recipe
from facesr_edge.training.recipes import edge
from facesr_edge.training.start import TAUGHT
from facesr_edge.training.tasks import open_teacher

FIRST = "as it is"


@dataclass(frozen=True)
class Variant:
    """One row.

    Args:
        name: what is different.
        recipe: how it is trained, steps apart; what finishes goes on from the first row's network.
    """

    name: str
    recipe: Recipe


def variants() -> list[Variant]:
    """All rows, the first first."""
    plain, last = edge.nano(), edge.finish(*SIZES["nano"])
    differing = partial(replace, plain)
    return [
        Variant(FIRST, plain),
        Variant("no branches", edge.nano(branches=0)),
        Variant("Adam alone", differing(muon=0.0)),
        Variant("no moving average", differing(ema=0.0)),
        Variant("narrower and deeper: 24 channels, 9 convolutions", edge.nano(24, 9)),
        Variant("wider and shallower: 40 channels, 3 convolutions", edge.nano(40, 3)),
        Variant("L1 instead of PSNR", differing(losses={"l1": 1.0})),
        Variant("L2 instead of PSNR", differing(losses={"l2": 1.0})),
        Variant("L1 and frequencies instead of PSNR", differing(losses={"l1": 1.0, "frequency": 0.05})),
        Variant("smaller crops: 24 instead of 32 pixels", differing(crop=24 * 4)),
        Variant("half of the loss is a teacher's picture", differing(taught=TAUGHT)),
        Variant("finished", last),
        Variant("finished with L1", replace(last, losses={"l1": 1.0})),
        Variant("finished with L2", replace(last, losses={"l2": 1.0})),
        Variant("finished with the teacher", replace(last, taught=TAUGHT)),
    ]


def parameters(recipe: Recipe) -> int:
    """Of the folded network."""
    with torch.device("meta"):
        network = Edge(**{**recipe.config, "branches": False})
    return sum(weight.numel() for weight in network.parameters())


def gain_of(variant: Variant, given: argparse.Namespace, first: dict[str, Any] | None) -> tuple[float, dict[str, Any]]:
    """Train a variant; its gain over bicubic in dB, and its weights."""
    steps = given.finish if variant.recipe.finishes else given.steps
    recipe = replace(variant.recipe, steps=steps)
    teacher = open_teacher(given.teacher, "super-resolution") if recipe.taught else None
    task = FacePairs(recipe, given.faces, given.held_out, teacher=teacher)
    found: list[Progress] = []
    folder = given.output / variant.name.replace(" ", "-").replace(":", "").replace(",", "")
    try:
        network = train(recipe, task, folder, found.append, start=first if recipe.finishes else None)
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
    if given.threads:
        torch.set_num_threads(given.threads)
    rows: list[dict[str, Any]] = []
    first: dict[str, Any] | None = None
    print(f"{'variant':52} {'parameters':>10} {'steps':>6} {'gain dB':>8} {'to the first':>12}")
    try:
        for variant in variants():
            gain, weights = gain_of(variant, given, first)
            first = weights if first is None else first
            steps = given.finish if variant.recipe.finishes else given.steps
            size = parameters(variant.recipe)
            rows.append({"variant": variant.name, "parameters": size, "steps": steps, "gain_db": round(gain, 4)})
            apart = gain - rows[0]["gain_db"]
            print(f"{variant.name:52} {size:10,} {steps:6,} {gain:8.3f} {apart:+12.3f}", flush=True)
            save(given.output / "ablation.json", rows, given)
    except FacesrError as error:
        sys.exit(f"edge_ablation: {error}")


if __name__ == "__main__":
    main()
