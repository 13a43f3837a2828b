"""How MSRNet is trained: the paper's settings as far as it gives them, and an edge size for a CPU core."""

from __future__ import annotations

from ..recipe import Recipe
from .faces_cpu import SKIP, faces_cpu

SIDE = 128
"""Of the large faces, in pixels."""


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
    return faces_cpu(
        "msrnet",
        {"width": width, "scale": scale, "side": side, "bicubic_skip": True},
        2_000,
        SKIP,
        f"whole faces of {side}x{side}, in batches of 6 that look alike, each the others' reference",
        "references are chosen by the L1 distance of the small pictures, not of VGGFace's features",
        side=side,
        batch=6,
    )


RECIPES = {"cpu": cpu, "paper": paper}
