"""How VDSR is trained: its paper's settings (section 5.2), and as the other baselines on a CPU core."""

from __future__ import annotations

from ..recipe import Recipe
from .faces_cpu import SMALL_RESIDUAL_INIT, faces_cpu


def paper(depth: int = 20, width: int = 64, scale: int = 4) -> Recipe:
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
            "all three colours instead of the luma; patches of 41x41 less what the scale does not divide",
        ),
    )


def cpu(depth: int = 20, width: int = 64, scale: int = 4) -> Recipe:
    """Half an hour of one core."""
    config = {"depth": depth, "width": width, "scale": scale}
    side = max(5, 40 // scale)
    return faces_cpu("vdsr", config, 1_500, f"{side}x{side} inputs", side=side, **SMALL_RESIDUAL_INIT)


RECIPES = {"cpu": cpu, "paper": paper}
