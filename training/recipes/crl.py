"""How CRL is trained: the paper's loss (equation 12), and L1 alone for a CPU core."""

from __future__ import annotations

from ..loop import Recipe
from .faces_cpu import SKIP, faces_cpu


def cpu(depth: int = 16, width: int = 64, scale: int = 4) -> Recipe:
    """The generator by itself, without the discriminator and the perceptual loss: they want weights of VGG-19."""
    config = {"depth": depth, "width": width, "scale": scale, "bicubic_skip": True}
    return faces_cpu("crl", config, 1_500, SKIP, "no perceptual and no adversarial loss: the generator by itself")


RECIPES = {"cpu": cpu}
