"""How VDSR is trained: as the other baselines, on the 41×41 patches of its paper or a little less."""

from __future__ import annotations

from ..loop import Recipe
from .faces_cpu import faces_cpu


def cpu(depth: int = 20, width: int = 64, scale: int = 4) -> Recipe:
    """Half an hour of one core."""
    config = {"depth": depth, "width": width, "scale": scale}
    return faces_cpu("vdsr", config, 1_500, f"{40 // scale}x{40 // scale} inputs", side=40 // scale)


RECIPES = {"cpu": cpu}
