"""How MFFCN is trained: the paper's loss and settings (section 3), and a recipe for a CPU core."""

from __future__ import annotations

from ..loop import Recipe
from .faces_cpu import faces_cpu


def cpu(width: int = 24, scale: int = 4) -> Recipe:
    """By a factor drawn for each batch, as the paper has it."""
    return faces_cpu(
        "mffcn",
        {"width": width, "scale": scale},
        2_500,
        "no perceptual and no texture loss, which want weights of VGG-19, and no total variation",
        side=24,
        scales=(2, 3, 4),
    )


RECIPES = {"cpu": cpu}
