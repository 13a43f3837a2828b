"""Recipes of CRL: the paper's loss (equation 12), and L1 only for one CPU core; with or without auxiliary tasks."""

from __future__ import annotations

from dataclasses import replace

from ..losses.attributes import ATTRIBUTES
from ..recipe import Recipe
from .cpu import ACTIVATED_SUB_PIXEL, BICUBIC_SKIP, SMALL_RESIDUAL_INIT, cpu_recipe

ALPHA, BETA = 0.006, 0.001
"""Weights of the perceptual and the adversarial term in equation 12; the paper gives no values, these are SRGAN's."""
EPOCH_FACES = 52_000
"""Size of the paper's training set (section 4), in faces per epoch."""
FACE_SIDE = 128
"""Side of labelled faces in pixels: labels belong to a whole face."""
ATTRIBUTE_WEIGHT = 0.01
"""Weight of the auxiliary tasks; the paper gives none. Cross entropy starts at 0.7, L1 at 0.03."""
BLOCKS = "blocks of 41x41 at high resolution, reduced to a multiple of the scale"
FLIPS = "half of the faces are mirrored, which the paper mentions for the fusion network only"
NO_ATTRIBUTES = "no auxiliary tasks of section 2.1: gender, expression and landmarks need labels"
DEVIATIONS = (
    ACTIVATED_SUB_PIXEL,
    "no fusion network of section 4.1: the paper gives neither its layers nor its loss",
)
"""Of every recipe."""


def paper(depth: int = 16, width: int = 64, scale: int = 4, attributes: int = 0) -> Recipe:
    """Equation 12 and the first settings of section 4.1: batches of 64 blocks of 41×41, Adam at 1e-4, times 0.1.

    The section gives three contradictory sets of settings; the second is that of VDSR, the third that of a fusion.
    `attributes`: see `multitask`.
    """
    epoch = EPOCH_FACES // 64
    recipe = Recipe(
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
            BLOCKS,
            FLIPS,
            NO_ATTRIBUTES,
            *DEVIATIONS,
        ),
    )
    return multitask(recipe) if attributes else recipe


def cpu(depth: int = 16, width: int = 64, scale: int = 4, attributes: int = 0) -> Recipe:
    """The generator only, without discriminator and perceptual loss, which needs VGG-19 weights.

    `attributes`: see `multitask`.
    """
    config = {"depth": depth, "width": width, "scale": scale, "bicubic_skip": True}
    generator_only = "no perceptual and no adversarial loss: the generator only"
    deviations = (BICUBIC_SKIP, generator_only, FLIPS, NO_ATTRIBUTES, *DEVIATIONS)
    side = FACE_SIDE // scale if attributes else 0
    recipe = cpu_recipe("crl", config, 1_500, *deviations, side=side, **SMALL_RESIDUAL_INIT)
    return multitask(recipe) if attributes else recipe


def multitask(recipe: Recipe) -> Recipe:
    """A recipe with the auxiliary tasks of section 2.1, on whole faces with labels, see `data.labels`."""
    return replace(
        recipe,
        crop=FACE_SIDE,
        losses={**recipe.losses, ATTRIBUTES: ATTRIBUTE_WEIGHT},
        deviations=(
            *(one for one in recipe.deviations if one not in (BLOCKS, FLIPS, NO_ATTRIBUTES)),
            "the paper gives neither layers nor weight of the auxiliary tasks: a linear layer on features averaged in "
            f"4x4 regions (equation 1), cross entropy and square error, {ATTRIBUTE_WEIGHT}",
            f"whole faces of {FACE_SIDE}x{FACE_SIDE} instead of blocks of 41x41: labels belong to a face",
        ),
    )


RECIPES = {"cpu": cpu, "paper": paper}
