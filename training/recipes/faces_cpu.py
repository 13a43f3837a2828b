"""What the recipes for CPUs have in common: little arithmetic a step, and an optimiser that makes the most of it."""

from __future__ import annotations

from typing import Any

from ..recipe import Recipe

COMMON = (
    "Muon for the hidden convolutions, Adam for the rest, both with cosine decay: as good as Adam after a sixth of the "
    "steps",
    "moving average of the weights (0.995), gradients clipped at norm 1",
)
LARGEST_SCALE = 6
"""Up to it, inputs of 24 pixels come from faces of 144."""
SMALL_RESIDUAL_INIT: dict[str, Any] = {"muon": 0.01, "muon_decay": 0.2}
"""For networks whose convolutions follow each other without norm or sum: at twice the rate SISN and edge ran away."""
BICUBIC_SKIP = "the bicubic picture is added to the output: the network learns the detail alone"

LIMITS = (
    "faces from 8 to 85 px; trained on sharp portraits shrunk by bicubic: blur, noise and compression are not undone",
    "added detail is an estimate: plausible, not evidence; not for identifying anybody",
    "few profiles, masks and dark pictures among the training faces",
)


def faces_cpu(
    network: str, config: dict[str, Any], steps: int, *deviations: str, side: int = 0, batch: int = 8, **changes: Any
) -> Recipe:
    """A recipe that one CPU core can finish.

    Args:
        network: a key of `NETWORKS`.
        config: its keyword arguments.
        steps: optimiser steps.
        deviations: where it departs from the paper, besides what is `COMMON`.
        side: of the inputs, in pixels; 0 for 24, or 16 where that would be larger than faces are.
        batch: faces a step.
        changes: to any other field of the recipe.
    """
    side = side or (24 if config["scale"] <= LARGEST_SCALE else 16)
    fixed: dict[str, Any] = {
        "crop": side * config["scale"],
        "learning_rate": 4e-4,
        "warmup": 50,
        "muon": 0.02,
        "muon_on": "hidden",
        "clip": 1.0,
        "ema": 0.995,
        "deviations": (
            f"{side}x{side} inputs; steps and batches as a CPU affords them",
            " and ".join(loss.upper() for loss in changes.get("losses", {"l1": 1.0})) + " alone",
            *COMMON,
            *deviations,
        ),
    }
    return Recipe(network, config, steps, batch, **{**fixed, **changes})
