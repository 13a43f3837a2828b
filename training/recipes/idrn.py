"""Recipes of IDRN: the paper's settings (section 3.1), and two that two CPU cores can finish in an hour."""

from __future__ import annotations

from typing import Any

from ..recipe import Recipe
from .cpu import BICUBIC_SKIP, CAMERA, CAMERA_DEGRADATION, cpu_recipe

EPOCH_FACES = 23_000
"""Size of the paper's training set, in faces per epoch."""


def paper(depth: int = 8, width: int = 64, scale: int = 4) -> Recipe:
    """Section 3.1: 32×32 inputs in batches of 16, 120 epochs, Adam at 1e-4 (times 0.9 every 30 epochs), L2."""
    epoch = EPOCH_FACES // 16
    return Recipe(
        network="idrn",
        config=_config(depth, width, scale, bicubic_skip=False),
        steps=120 * epoch,
        batch=16,
        crop=32 * scale,
        learning_rate=1e-4,
        schedule="steps",
        decay=0.9,
        decay_every=30 * epoch,
        losses={"l2": 1.0},
    )


def cpu(depth: int = 8, width: int = 64, scale: int = 4) -> Recipe:
    """The same network with a fraction of the multiply-adds."""
    return cpu_recipe("idrn", _config(depth, width, scale), 3_000, BICUBIC_SKIP)


def camera(depth: int = 8, width: int = 64, scale: int = 4, shards: int = CAMERA["shards"]) -> Recipe:
    """`cpu` on recordings of simulated cameras."""
    config = _config(depth, width, scale)
    return cpu_recipe("idrn", config, 2_500, BICUBIC_SKIP, CAMERA_DEGRADATION, **{**CAMERA, "shards": shards})


def _config(depth: int, width: int, scale: int, bicubic_skip: bool = True) -> dict[str, Any]:
    return {"depth": depth, "width": width, "scale": scale, "bicubic_skip": bicubic_skip}


RECIPES = {"paper": paper, "cpu": cpu, "camera": camera}
