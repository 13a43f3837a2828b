"""Recipes of MFFCN: the paper's loss and settings (section 3), and one for one CPU core."""

from __future__ import annotations

from ...engines.errors import UsageError
from ..recipe import Recipe
from .cpu import MIRRORED, SMALL_RESIDUAL_INIT, cpu_recipe

SCALES = (2, 3, 4)
"""Scales of the training; each batch has one of them."""


def _check_scale(scale: int) -> int:
    if scale not in SCALES:
        raise UsageError(
            f"mffcn is trained for scales {', '.join(map(str, SCALES))} at once, not for {scale}; omit --scale"
        )
    return scale


def paper(width: int = 24, scale: int = 4) -> Recipe:
    """Equations 2 to 7, loss weights of algorithm 1, Adam of section 4: batches of 10 at 1e-4, β1 = 0.5.

    Features: last convolution of VGG-19 before the fifth pooling, before its activation (section 3.1.2).
    """
    return Recipe(
        network="mffcn",
        config={"width": width, "scale": _check_scale(scale)},
        steps=50_000,
        batch=10,
        crop=120,
        learning_rate=1e-4,
        beta1=0.5,
        schedule="steps",
        losses={"l2": 10.0, "perceptual_l1": 1.0, "texture": 1.0, "variation": 1e-4},
        vgg_layer="conv5_4",
        scales=SCALES,
        deviations=(
            "the paper gives no number of steps: 50,000, 200 times its 2,500 training faces",
            "crops of 120x120 from faces of 128x128: divisible by 2, 3 and 4 and by two downsampling steps",
            "means instead of the norms of the paper, Gram matrices divided by channels times positions",
            MIRRORED,
        ),
    )


def cpu(width: int = 24, scale: int = 4) -> Recipe:
    """One scale per batch, as in the paper."""
    config = {"width": width, "scale": _check_scale(scale)}
    deviation = "no perceptual and no texture loss, which need VGG-19 weights, and no total variation"
    return cpu_recipe("mffcn", config, 2_500, deviation, MIRRORED, side=24, scales=SCALES, **SMALL_RESIDUAL_INIT)


RECIPES = {"cpu": cpu, "paper": paper}
