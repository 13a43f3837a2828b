"""Recipes of MSRNet: the paper's settings as far as published, and a small size for one CPU core."""

from __future__ import annotations

from ..recipe import Recipe
from .cpu import BICUBIC_SKIP, MIRRORED, cpu_recipe

SIDE = 128
"""Side of the high-resolution faces in pixels."""

SIMILAR_FACES = "batches of 6 similar faces, each a reference of the others"
NEAREST_BY_PIXELS = "references are selected by the L1 distance of the low-resolution faces, not of VGGFace features"
DEVIATIONS = (
    "a ReLU on the face's features before the convolution of equation 7",
    "Up and Down of equations 5 and 6 are exchanged, which their sizes require",
    "features of the face are those of its bicubic enlargement",
    "a reference contributes the difference of its features and those of its degraded version",
    MIRRORED,
)
"""Of every recipe: those of the network and of the training data."""
LIMITATIONS = (
    "faces of one size, upright and centered as in the training data; sharp portraits downsampled by bicubic",
    "references add little, if as similar as the nearest of a thousand faces, and no detail of the person itself",
    "added detail is an estimate, partly copied from other people; not for identification",
    "few profiles, masks and dark pictures in the training data",
)


def paper(width: int = 64, scale: int = 8) -> Recipe:
    """Section III: Adam at 2e-4, 50 epochs of 14,000 faces of 16×16, five references. Batch and loss are not published:
    6, L1.
    """
    return Recipe(
        network="msrnet",
        config={"width": width, "growth": 1, "match_width": 64, "scale": scale, "side": 16, "bicubic_skip": False},
        steps=50 * 14_000 // 6,
        batch=6,
        crop=16 * scale,
        learning_rate=2e-4,
        schedule="steps",
        deviations=(
            "the paper gives neither batch nor loss: 6 and L1",
            SIMILAR_FACES,
            "one to five references per face, none for one face in six, instead of five",
            NEAREST_BY_PIXELS,
            "random crops of the given faces, not faces of CelebA-HQ resized to their bounding box",
            *DEVIATIONS,
        ),
    )


def cpu(width: int = 16, scale: int = 8) -> Recipe:
    """Small size, whole faces."""
    side = SIDE // scale
    x16 = ("target faces of 128x128, so that stage 1 outputs 64x64 and the references have that size",)
    return cpu_recipe(
        "msrnet",
        {"width": width, "scale": scale, "side": side, "bicubic_skip": True},
        2_000,
        BICUBIC_SKIP,
        f"whole faces of {side}x{side}",
        SIMILAR_FACES,
        NEAREST_BY_PIXELS,
        *DEVIATIONS,
        *(x16 if scale == 16 else ()),
        side=side,
        batch=6,
    )


RECIPES = {"cpu": cpu, "paper": paper}
