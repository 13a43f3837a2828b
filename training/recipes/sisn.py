"""Recipes of SISN: the paper's settings (section 4.1), and a small size for one CPU core."""

from __future__ import annotations

from ..recipe import Recipe
from .cpu import ACTIVATED_SUB_PIXEL, BICUBIC_SKIP, SMALL_RESIDUAL_INIT, cpu_recipe

EPOCH_FACES = 850
"""Size of the paper's training set (FFHQ), in faces per epoch."""
DEVIATIONS = (
    "a ReLU between the two 1x1 convolutions of a split attention, which the paper does not mention",
    ACTIVATED_SUB_PIXEL,
    "horizontal flips, no rotation by 90 degrees",
)
"""Of every recipe: those of the network and of the training data."""


def paper(groups: int = 10, blocks: int = 10, width: int = 64, scale: int = 4) -> Recipe:
    """Section 4.1: Adam at 1e-4, halved every 50 epochs, L1. Batch, crop, epochs are not published: 16, 48, 200."""
    epoch = EPOCH_FACES // 16
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
            "the mean absolute error of a pixel instead of the sum over a face (equation 5): Adam cancels the factor",
            *DEVIATIONS,
        ),
    )


def cpu(groups: int = 3, blocks: int = 3, width: int = 32, scale: int = 4) -> Recipe:
    """Small size, with the multiply-adds of IDRN 12-32."""
    config = {"groups": groups, "blocks": blocks, "width": width, "scale": scale, "bicubic_skip": True}
    smaller = "3 groups of 3 blocks, 32 channels, instead of 10 of 10, 64 channels"
    return cpu_recipe("sisn", config, 6_000, BICUBIC_SKIP, smaller, *DEVIATIONS, **SMALL_RESIDUAL_INIT)


RECIPES = {"cpu": cpu, "paper": paper}
