"""How SRResNet is trained: as the other baselines, so that the tables compare like with like."""

from __future__ import annotations

from ..loop import Recipe
from .faces_cpu import SKIP, faces_cpu


def cpu(depth: int = 16, width: int = 64, scale: int = 4) -> Recipe:
    """Half an hour of one core."""
    return faces_cpu("srresnet", {"depth": depth, "width": width, "scale": scale, "bicubic_skip": True}, 1_500, SKIP)


RECIPES = {"cpu": cpu}
