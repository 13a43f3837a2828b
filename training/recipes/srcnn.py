"""How SRCNN is trained: as the other baselines, so that the tables compare like with like."""

from __future__ import annotations

from ..recipe import Recipe
from .faces_cpu import BICUBIC_SKIP, faces_cpu


def cpu(scale: int = 4) -> Recipe:
    """Ten minutes of one core."""
    return faces_cpu("srcnn", {"scale": scale, "bicubic_skip": True}, 3_000, BICUBIC_SKIP)


RECIPES = {"cpu": cpu}
