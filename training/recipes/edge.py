"""Recipes of the edge network: three sizes, camera degradation, fine-tuning, quantization-aware training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ...engines.errors import UsageError
from ...networks.edge.network import SIZES
from ..recipe import Recipe
from .cpu import BICUBIC_SKIP, CAMERA, CAMERA_DEGRADATION, SMALL_RESIDUAL_INIT, cpu_recipe

INPUT_SIDE, MAX_INPUT_SIDE_SCALE = 32, 4
"""Side of the inputs in pixels, and the largest scale at which the training faces are large enough for it. Inputs of 24
pixels have a larger share of padded border and less of the face than at inference, and cost 0.2 dB."""
CHANGES: dict[str, Any] = {**SMALL_RESIDUAL_INIT, "learning_rate": 1e-3, "losses": {"psnr": 1.0}}
"""Differences from the CPU defaults. 1,000 steps of nano on 24-pixel inputs reach +2.50 dB with the PSNR loss, +2.43 dB
with L1."""


def from_scratch(width: int, depth: int, scale: int = 4, branches: int = 1) -> Recipe:
    """Train with bicubic degradation."""
    return edge_recipe(width, depth, scale, branches)


def camera(width: int, depth: int, scale: int = 4, branches: int = 1, shards: int = CAMERA["shards"]) -> Recipe:
    """Train on recordings of simulated cameras; more than a quarter of the faces are clean."""
    changes = {**CAMERA, "shards": shards, "clean": 0.12, "ema": 0.999}
    return edge_recipe(width, depth, scale, branches, CAMERA_DEGRADATION, batch=16, **changes)


def finetune(width: int, depth: int, scale: int = 4, branches: int = 1) -> Recipe:
    """Continue from trained weights at a quarter of the learning rates."""
    deviation = "fine-tuned from trained weights at a quarter of the learning rates"
    return edge_recipe(width, depth, scale, branches, deviation, **finetune_changes(4))


def int8(width: int, depth: int, scale: int = 4) -> Recipe:
    """Quantization-aware fine-tuning at 1/50 of the learning rates; higher ones first lose more than INT8 costs."""
    deviation = "quantization-aware fine-tuning of weights that were trained without quantization"
    return edge_recipe(width, depth, scale, 0, deviation, int8=True, **finetune_changes(50))


def finetune_changes(divisor: int) -> dict[str, Any]:
    """Changes of the recipes that continue from trained weights, at a fraction of the learning rates."""
    rates = {name: CHANGES[name] / divisor for name in ("muon", "learning_rate")}
    return {"steps": 2_000, "finetune": True, **rates}


def edge_recipe(
    width: int,
    depth: int,
    scale: int,
    branches: int,
    *deviations: str,
    steps: int = 12_000,
    network: str = "edge",
    **changes: Any,
) -> Recipe:
    """A recipe of an edge network.

    Args:
        width, depth, scale, branches: of the network, branches 0 or 1.
        deviations, changes: see `cpu_recipe`, besides those of all edge networks.

    Raises:
        UsageError: another number of branches.
    """
    if branches not in (0, 1):
        raise UsageError(f"branches must be 1 (train with branches) or 0 (without), got {branches}")
    config = {"width": width, "depth": depth, "scale": scale} | ({"branches": True} if branches else {})
    side = INPUT_SIDE if scale <= MAX_INPUT_SIDE_SCALE else 0
    return cpu_recipe(network, config, steps, BICUBIC_SKIP, *deviations, side=side, **{**CHANGES, **changes})


def _sized(recipe: Callable[..., Recipe], size: str) -> Callable[..., Recipe]:
    """The recipe with the width and depth of a size as defaults."""
    width, depth = SIZES[size]
    return partial(recipe, width=width, depth=depth)


RECIPES = {
    "cpu": _sized(from_scratch, "tiny"),
    **{size: _sized(from_scratch, size) for size in SIZES},
    "camera": _sized(camera, "tiny"),
    "finetune": _sized(finetune, "tiny"),
    "int8": _sized(int8, "tiny"),
}
