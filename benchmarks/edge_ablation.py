"""Ablation of the edge network: short trainings that each change one decision about the network or its training.

    python -m facesr_edge.benchmarks.edge_ablation --faces TRAIN --val-faces TEST --teacher BUNDLE -o RUNS

All variants have the multiply-adds and the recipe of *nano* and draw the same faces; fine-tuned variants continue from
the baseline's network. Interrupted runs are resumed; the results are in `RUNS/ablation.json`.
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
from facesr_edge.training.recipes.edge import finetune, from_scratch
from facesr_edge.training.tasks import open_teacher
from facesr_edge.training.train import DISTILL_WEIGHT
from facesr_edge.training.trainer import TrainProgress, train

BASELINE = "baseline"


def variants() -> dict[str, Recipe]:
    """Changed decision -> recipe, without the number of steps; the baseline first."""
    baseline, tuned = from_scratch(*SIZES["nano"]), finetune(*SIZES["nano"])
    changed = partial(replace, baseline)
    return {
        BASELINE: baseline,
        "no branches": from_scratch(*SIZES["nano"], branches=0),
        "Adam only": changed(muon=0.0),
        "no moving average": changed(ema=0.0),
        "narrower and deeper: 24 channels, 9 convolutions": from_scratch(24, 9),
        "wider and shallower: 40 channels, 3 convolutions": from_scratch(40, 3),
        "L1 instead of PSNR": changed(losses={"l1": 1.0}),
        "L2 instead of PSNR": changed(losses={"l2": 1.0}),
        "L1 and frequencies instead of PSNR": changed(losses={"l1": 1.0, "frequency": 0.05}),
        "smaller crops: 24 instead of 32 pixels": changed(crop=24 * 4),
        "distillation with weight 0.5": changed(distill_weight=DISTILL_WEIGHT),
        "fine-tuned": tuned,
        "fine-tuned with L1": replace(tuned, losses={"l1": 1.0}),
        "fine-tuned with L2": replace(tuned, losses={"l2": 1.0}),
        "fine-tuned with distillation": replace(tuned, distill_weight=DISTILL_WEIGHT),
    }


def parameters(recipe: Recipe) -> int:
    """Number of parameters of the fused network."""
    with torch.device("meta"):
        network = Edge(**{**recipe.config, "branches": False})
    return sum(weight.numel() for weight in network.parameters())


def train_variant(
    name: str, recipe: Recipe, args: argparse.Namespace, baseline: dict[str, Any] | None
) -> tuple[float, dict[str, Any]]:
    """Train a variant; returns its gain over bicubic in dB, and its weights."""
    teacher = open_teacher(args.teacher, "super-resolution") if recipe.distill_weight else None
    task = FacePairs(recipe, args.faces, args.val_faces, teacher=teacher)
    reports: list[TrainProgress] = []
    folder = args.output / name.replace(" ", "-").replace(":", "").replace(",", "")
    init_weights = baseline if recipe.finetune else None
    try:
        network = train(recipe, task, folder, reports.append, init_weights=init_weights)
    finally:
        if teacher is not None:
            teacher.close()
    return reports[-1].scores["gain_db"], network.state_dict()


def save(path: Path, rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """Write the results so far."""
    seed = variants()[BASELINE].seed
    settings = {"steps": args.steps, "finetune": args.finetune, "teacher": args.teacher.name, "seed": seed}
    path.write_text(json.dumps({**settings, "rows": rows}, indent=1) + "\n", "utf-8")


def main() -> None:
    """Train all variants, print a table and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    folder = partial(parser.add_argument, type=Path, metavar="DIR", required=True)
    folder("--faces", help="training faces")
    folder("--val-faces", help="validation faces")
    folder("--teacher", help="teacher bundle with scale 4")
    folder("-o", "--output", help="folder of the checkpoints")
    parser.add_argument("--steps", type=int, default=2_000, help="steps of each training from scratch")
    parser.add_argument("--finetune", type=int, default=500, help="steps of each fine-tuning")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 for one per core")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    baseline: dict[str, Any] | None = None
    print(f"{'variant':52} {'parameters':>10} {'steps':>6} {'gain dB':>8} {'vs. baseline':>12}")
    try:
        check_threads(args.threads)
        if min(args.steps, args.finetune) < 1:
            raise UsageError(f"--steps and --finetune must be 1 or more, got {args.steps} and {args.finetune}")
        if args.threads:
            torch.set_num_threads(args.threads)
        for name, recipe in variants().items():
            steps = args.finetune if recipe.finetune else args.steps
            gain_db, weights = train_variant(name, replace(recipe, steps=steps), args, baseline)
            baseline = weights if baseline is None else baseline
            count = parameters(recipe)
            rows.append({"variant": name, "parameters": count, "steps": steps, "gain_db": round(gain_db, 4)})
            difference_db = gain_db - rows[0]["gain_db"]
            print(f"{name:52} {count:10,} {steps:6,} {gain_db:8.3f} {difference_db:+12.3f}", flush=True)
            save(args.output / "ablation.json", rows, args)
    except (FacesrError, OSError) as error:
        sys.exit(f"edge_ablation: {error}")


if __name__ == "__main__":
    main()
