"""How CRL is trained: the paper's loss (equation 12), and L1 alone for a CPU core."""

from __future__ import annotations

from ..recipe import Recipe
from .faces_cpu import BICUBIC_SKIP, SMALL_RESIDUAL_INIT, faces_cpu

ALPHA, BETA = 0.006, 0.001
"""What the perceptual and the adversarial term count in equation 12; the paper gives no values, these are SRGAN's."""
FACES_AN_EPOCH = 52_000
"""Size of the paper's training set (section 4)."""


def paper(depth: int = 16, width: int = 64, scale: int = 4) -> Recipe:
    """Equation 12 and the first settings of section 4.1: batches of 64 blocks of 41×41, Adam at 1e-4, times 0.1.

    The section gives three sets of settings that exclude each other; the second is VDSR's, the third a fusion's.
    """
    epoch = FACES_AN_EPOCH // 64
    return Recipe(
        network="crl",
        config={"depth": depth, "width": width, "scale": scale, "bicubic_skip": False},
        steps=200 * epoch,
        batch=64,
        crop=41,
        learning_rate=1e-4,
        weight_decay=1e-3,
        schedule="steps",
        decay=0.1,
        decay_every=100 * epoch,
        losses={"perceptual_l2": ALPHA, "adversarial": BETA, "l1": 1 - ALPHA - BETA},
        vgg_layer="conv5_4",
        deviations=(
            f"the paper gives neither alpha nor beta: {ALPHA} and {BETA}, as in SRGAN",
            "the paper does not say which features of VGG-19: the last convolution before the fifth pooling",
            "cross entropy for the discriminator (equation 10), not equation 8's Wasserstein difference",
            "the paper's 200 iterations are read as epochs of 52,000 faces",
            "the discriminator learns at a constant rate, without weight decay",
            "blocks of 41x41 at the high resolution, less what the scale does not divide",
        ),
    )


def cpu(depth: int = 16, width: int = 64, scale: int = 4) -> Recipe:
    """The generator by itself, without the discriminator and the perceptual loss: they want weights of VGG-19."""
    config = {"depth": depth, "width": width, "scale": scale, "bicubic_skip": True}
    alone = "no perceptual and no adversarial loss: the generator by itself"
    return faces_cpu("crl", config, 1_500, BICUBIC_SKIP, alone, **SMALL_RESIDUAL_INIT)


RECIPES = {"cpu": cpu, "paper": paper}
