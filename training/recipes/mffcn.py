"""How MFFCN is trained: the paper's loss and settings (section 3), and a recipe for a CPU core."""

from __future__ import annotations

from ...engines.errors import UsageError
from ..recipe import Recipe
from .faces_cpu import SMALL_RESIDUAL_INIT, faces_cpu

FACTORS = (2, 3, 4)
"""One of them is drawn for each batch."""


def _checked(scale: int) -> int:
    if scale not in FACTORS:
        raise UsageError(
            f"mffcn is trained for {', '.join(map(str, FACTORS))} at once, not for {scale}; leave --scale out"
        )
    return scale


def paper(width: int = 24, scale: int = 4) -> Recipe:
    """Equations 2 to 7 with algorithm 1's weights and section 4's Adam: batches of 10 at 1e-4, β1 = 0.5.

    Features are those of VGG-19's last convolution before the fifth pooling, before its activation (section 3.1.2).
    """
    return Recipe(
        network="mffcn",
        config={"width": width, "scale": _checked(scale)},
        steps=50_000,
        batch=10,
        crop=120,
        learning_rate=1e-4,
        beta1=0.5,
        schedule="steps",
        losses={"l2": 10.0, "perceptual_l1": 1.0, "texture": 1.0, "variation": 1e-4},
        vgg_layer="conv5_4",
        scales=FACTORS,
        deviations=(
            "the paper gives no number of steps: 50,000, 200 times its 2,500 training faces",
            "crops of 120x120, which 2, 3 and 4 shrink evenly and the network can halve twice, of faces of 128x128",
            "means where the paper writes norms, Gram matrices over channels times positions",
        ),
    )


def cpu(width: int = 24, scale: int = 4) -> Recipe:
    """By a factor drawn for each batch, as the paper has it."""
    return faces_cpu(
        "mffcn",
        {"width": width, "scale": _checked(scale)},
        2_500,
        "no perceptual and no texture loss, which want weights of VGG-19, and no total variation",
        side=24,
        scales=FACTORS,
        **SMALL_RESIDUAL_INIT,
    )


RECIPES = {"cpu": cpu, "paper": paper}
