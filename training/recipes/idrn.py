"""How IDRN is trained: the paper's settings (section 3.1), and a recipe that two CPU cores can finish in an hour."""

from __future__ import annotations

from ..recipe import Recipe
from .faces_cpu import BICUBIC_SKIP, faces_cpu

FACES_AN_EPOCH = 23_000
"""Size of the paper's training set; its epochs are counted in these."""


def paper(depth: int = 8, width: int = 64, scale: int = 4) -> Recipe:
    """Section 3.1: 32×32 inputs in batches of 16, 120 epochs, Adam at 1e-4 (times 0.9 every 30 epochs), L2."""
    epoch = FACES_AN_EPOCH // 16
    return Recipe(
        network="idrn",
        config={"depth": depth, "width": width, "scale": scale, "bicubic_skip": False},
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
    """The same network in a fraction of the arithmetic."""
    config = {"depth": depth, "width": width, "scale": scale, "bicubic_skip": True}
    return faces_cpu("idrn", config, 3_000, BICUBIC_SKIP)


RECIPES = {"paper": paper, "cpu": cpu}
