"""Recipes of IDRN: the paper's settings (sections 3.1, 4.3, 4.4), and two for an hour of two CPU cores."""

from __future__ import annotations

from typing import Any

from ..recipe import Recipe
from .cpu import ACTIVATED_SUB_PIXEL, BICUBIC_SKIP, CAMERA, CAMERA_DEGRADATION, MIRRORED, cpu_recipe

EPOCH_FACES = 23_000
"""Size of the paper's training set, in faces per epoch."""
DEVIATIONS = (
    "a ReLU on the shallow features X0 of equation 1, which the paper does not mention",
    ACTIVATED_SUB_PIXEL,
    MIRRORED,
)
"""Of every recipe: those of the network and of the training data."""


def paper(depth: int = 16, width: int = 128, scale: int = 4) -> Recipe:
    """Section 3.1: 32×32 inputs in batches of 16, 120 epochs, Adam at 1e-4 (times 0.9 every 30 epochs), L2.

    The size is the one that sections 4.3 and 4.4 choose and table 3 compares with other networks. Table 1 has depths 8,
    12, 16 and 20 at width 64, table 2 widths 64, 128 and 192 at depth 8.
    """
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
        deviations=(
            "the mean square error of a pixel instead of the sum over a face (equation 2): Adam cancels the factor",
            "random crops of the given faces, not whole faces of FDDB and AFLW",
            *DEVIATIONS,
        ),
    )


def cpu(depth: int = 8, width: int = 64, scale: int = 4) -> Recipe:
    """The same network with a fraction of the multiply-adds."""
    return cpu_recipe("idrn", _config(depth, width, scale), 3_000, BICUBIC_SKIP, *DEVIATIONS)


def camera(depth: int = 8, width: int = 64, scale: int = 4, shards: int = CAMERA["shards"]) -> Recipe:
    """`cpu` on recordings of simulated cameras."""
    config = _config(depth, width, scale)
    deviations = (BICUBIC_SKIP, CAMERA_DEGRADATION, *DEVIATIONS)
    return cpu_recipe("idrn", config, 2_500, *deviations, **{**CAMERA, "shards": shards})


def _config(depth: int, width: int, scale: int, bicubic_skip: bool = True) -> dict[str, Any]:
    return {"depth": depth, "width": width, "scale": scale, "bicubic_skip": bicubic_skip}


RECIPES = {"paper": paper, "cpu": cpu, "camera": camera}
