"""How MSRNet is trained: the paper's settings as far as it gives them, and an edge size for a CPU core."""

from __future__ import annotations

from ..recipe import Recipe
from .faces_cpu import BICUBIC_SKIP, faces_cpu

SIDE = 128
"""Of the large faces, in pixels."""

LIMITS = (
    "faces of one size, upright and centred as in the training folder; trained on sharp portraits shrunk by bicubic",
    "references add a little where they are as alike as the nearest of a thousand faces, and nothing of a person's own",
    "added detail is an estimate, some of it copied from other people: not for identifying anybody",
    "few profiles, masks and dark pictures among the training faces",
)


def paper(width: int = 64, scale: int = 8) -> Recipe:
    """Section III: Adam at 2e-4, 50 epochs of 14,000 faces of 16×16. Batch and loss are not given: 6, L1."""
    return Recipe(
        network="msrnet",
        config={"width": width, "growth": 1, "match_width": 64, "scale": scale, "side": 16, "bicubic_skip": False},
        steps=50 * 14_000 // 6,
        batch=6,
        crop=16 * scale,
        learning_rate=2e-4,
    )


def cpu(width: int = 16, scale: int = 8) -> Recipe:
    """The edge size, whole faces."""
    side = SIDE // scale
    half = ("the truth is of 128x128, so that stage 1 gives 64x64 and is lent to by faces of that size",)
    return faces_cpu(
        "msrnet",
        {"width": width, "scale": scale, "side": side, "bicubic_skip": True},
        2_000,
        BICUBIC_SKIP,
        f"whole faces of {side}x{side}, in batches of 6 that look alike, each the others' reference",
        "references are chosen by the L1 distance of the small pictures, not of VGGFace's features",
        *(half if scale == 16 else ()),
        side=side,
        batch=6,
    )


RECIPES = {"cpu": cpu, "paper": paper}
