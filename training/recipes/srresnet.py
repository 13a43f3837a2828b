"""How SRResNet is trained: its paper's settings (section 3.2), and as the other baselines on a CPU core."""

from __future__ import annotations

from ..recipe import Recipe
from .faces_cpu import BICUBIC_SKIP, faces_cpu


def paper(depth: int = 16, width: int = 64, scale: int = 4) -> Recipe:
    """Section 3.2: a million steps of Adam at 1e-4 on batches of 16 crops of 96×96, L2."""
    return Recipe(
        network="srresnet",
        config={"depth": depth, "width": width, "scale": scale, "bicubic_skip": False},
        steps=1_000_000,
        batch=16,
        crop=96,
        learning_rate=1e-4,
        schedule="steps",
        losses={"l2": 1.0},
        deviations=("faces instead of ImageNet's pictures", "true pictures in [0, 1], not in [-1, 1]"),
    )


def cpu(depth: int = 16, width: int = 64, scale: int = 4) -> Recipe:
    """Half an hour of one core."""
    return faces_cpu(
        "srresnet", {"depth": depth, "width": width, "scale": scale, "bicubic_skip": True}, 1_500, BICUBIC_SKIP
    )


RECIPES = {"cpu": cpu, "paper": paper}
