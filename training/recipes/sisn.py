"""How SISN is trained: the paper's settings (section 4.1), and an edge size for a CPU core."""

from __future__ import annotations

from ..recipe import Recipe
from .faces_cpu import BICUBIC_SKIP, SMALL_RESIDUAL_INIT, faces_cpu

FACES_AN_EPOCH = 850
"""Size of the paper's training set of FFHQ."""


def paper(groups: int = 10, blocks: int = 10, width: int = 64, scale: int = 4) -> Recipe:
    """Section 4.1: Adam at 1e-4, halved every 50 epochs, L1. Batch, crop and epochs are not given: 16, 48 and 200."""
    epoch = FACES_AN_EPOCH // 16
    return Recipe(
        network="sisn",
        config={"groups": groups, "blocks": blocks, "width": width, "scale": scale, "bicubic_skip": False},
        steps=200 * epoch,
        batch=16,
        crop=48 * scale,
        learning_rate=1e-4,
        schedule="steps",
        decay=0.5,
        decay_every=50 * epoch,
        deviations=(
            "the paper gives neither batch nor crop nor epochs: 16, 48x48 inputs and 200",
            "faces are mirrored, not turned by 90 degrees",
        ),
    )


def cpu(groups: int = 3, blocks: int = 3, width: int = 32, scale: int = 4) -> Recipe:
    """The edge size: the arithmetic of IDRN 12-32."""
    config = {"groups": groups, "blocks": blocks, "width": width, "scale": scale, "bicubic_skip": True}
    smaller = "3 groups of 3 blocks, 32 channels, instead of 10 of 10, 64 channels"
    return faces_cpu("sisn", config, 6_000, BICUBIC_SKIP, smaller, **SMALL_RESIDUAL_INIT)


RECIPES = {"cpu": cpu, "paper": paper}
