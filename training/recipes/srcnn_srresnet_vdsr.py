"""Recipes of SRCNN, SRResNet and VDSR, the baselines of the papers' tables."""

from __future__ import annotations

from collections.abc import Callable

from ..recipe import Recipe
from .cpu import BICUBIC_SKIP, MIRRORED, SMALL_RESIDUAL_INIT, cpu_recipe


def srcnn_cpu(scale: int = 4) -> Recipe:
    """About ten minutes on one core."""
    return cpu_recipe("srcnn", {"scale": scale, "bicubic_skip": True}, 3_000, BICUBIC_SKIP, MIRRORED)


def srresnet_paper(depth: int = 16, width: int = 64, scale: int = 4) -> Recipe:
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
        deviations=("faces instead of ImageNet pictures", "target pictures in [0, 1], not in [-1, 1]", MIRRORED),
    )


def srresnet_cpu(depth: int = 16, width: int = 64, scale: int = 4) -> Recipe:
    """About half an hour on one core."""
    config = {"depth": depth, "width": width, "scale": scale, "bicubic_skip": True}
    return cpu_recipe("srresnet", config, 1_500, BICUBIC_SKIP, MIRRORED)


def vdsr_paper(depth: int = 20, width: int = 64, scale: int = 4) -> Recipe:
    """Section 5.2: 80 epochs, 9,960 steps in all, on batches of 64 patches of 41×41, times 0.1 every 20 epochs, L2."""
    steps = 9_960
    return Recipe(
        network="vdsr",
        config={"depth": depth, "width": width, "scale": scale},
        steps=steps,
        batch=64,
        crop=41,
        learning_rate=1e-3,
        weight_decay=1e-4,
        schedule="steps",
        decay=0.1,
        decay_every=steps // 4,
        clip=0.4,
        losses={"l2": 1.0},
        deviations=(
            "Adam at 1e-3 and gradients clipped at norm 0.4, instead of momentum at 0.1 and clipping by the rate",
            "one scale instead of 2, 3 and 4 at once",
            "all three colors instead of the luma; patches of 41x41, reduced to a multiple of the scale",
        ),
    )


def vdsr_cpu(depth: int = 20, width: int = 64, scale: int = 4) -> Recipe:
    """About half an hour on one core."""
    config = {"depth": depth, "width": width, "scale": scale}
    side = max(5, 40 // scale)
    return cpu_recipe("vdsr", config, 1_500, f"{side}x{side} inputs", side=side, **SMALL_RESIDUAL_INIT)


RECIPES: dict[str, dict[str, Callable[..., Recipe]]] = {
    "srcnn": {"cpu": srcnn_cpu},
    "srresnet": {"cpu": srresnet_cpu, "paper": srresnet_paper},
    "vdsr": {"cpu": vdsr_cpu, "paper": vdsr_paper},
}
