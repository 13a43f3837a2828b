"""Recipes of CRL: the paper's loss (equation 12), and L1 only for one CPU core."""

from __future__ import annotations

from ..recipe import Recipe
from .cpu import BICUBIC_SKIP, SMALL_RESIDUAL_INIT, cpu_recipe

ALPHA, BETA = 0.006, 0.001
"""Weights of the perceptual and the adversarial term in equation 12; the paper gives no values, these are SRGAN's."""
EPOCH_FACES = 52_000
"""Size of the paper's training set (section 4), in faces per epoch."""


def paper(depth: int = 16, width: int = 64, scale: int = 4) -> Recipe:
    """Equation 12 and the first settings of section 4.1: batches of 64 blocks of 41×41, Adam at 1e-4, times 0.1.

    The section gives three contradictory sets of settings; the second is that of VDSR, the third that of a fusion.
    """
    epoch = EPOCH_FACES // 64
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
            "the paper does not specify the VGG-19 layer: the last convolution before the fifth pooling",
            "cross entropy for the discriminator (equation 10), not the Wasserstein difference of equation 8",
            "the 200 iterations of the paper are taken as epochs of 52,000 faces",
            "constant learning rate of the discriminator, without weight decay",
            "blocks of 41x41 at high resolution, reduced to a multiple of the scale",
        ),
    )


def cpu(depth: int = 16, width: int = 64, scale: int = 4) -> Recipe:
    """The generator only, without discriminator and perceptual loss, which needs VGG-19 weights."""
    config = {"depth": depth, "width": width, "scale": scale, "bicubic_skip": True}
    generator_only = "no perceptual and no adversarial loss: the generator only"
    return cpu_recipe("crl", config, 1_500, BICUBIC_SKIP, generator_only, **SMALL_RESIDUAL_INIT)


RECIPES = {"cpu": cpu, "paper": paper}
