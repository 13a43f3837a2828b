"""How the network of our own is trained: nano, tiny and small, on clean faces and on those of cameras; how it ends."""

from __future__ import annotations

from typing import Any

from ...networks.edge import SIZES
from ..recipe import Recipe
from .camera import CAMERA
from .faces_cpu import GENTLE, SKIP, faces_cpu

LARGER, MOST_LARGER = 32, 4
"""Side of the crops that `finish` has, in small pixels, and the largest scale at which faces have as many."""


def nano(width: int = SIZES["nano"][0], depth: int = SIZES["nano"][1], scale: int = 4, branches: int = 1) -> Recipe:
    """At most 0.07 GMAC for a face of 32×32 at a scale of 4."""
    return _plain(width, depth, scale, branches)


def tiny(width: int = SIZES["tiny"][0], depth: int = SIZES["tiny"][1], scale: int = 4, branches: int = 1) -> Recipe:
    """At most 0.20 GMAC for a face of 32×32 at a scale of 4."""
    return _plain(width, depth, scale, branches)


def small(width: int = SIZES["small"][0], depth: int = SIZES["small"][1], scale: int = 4, branches: int = 1) -> Recipe:
    """At most 0.50 GMAC for a face of 32×32 at a scale of 4."""
    return _plain(width, depth, scale, branches)


def camera(width: int = SIZES["tiny"][0], depth: int = SIZES["tiny"][1], scale: int = 4, branches: int = 1) -> Recipe:
    """Faces degraded as `degrade.camera` says, but more than a third of them clean: frames of good cameras should lose
    little."""
    return _plain(width, depth, scale, branches, CAMERA, degradation="camera", clean=0.3)


def finish(width: int = SIZES["tiny"][0], depth: int = SIZES["tiny"][1], scale: int = 4, branches: int = 1) -> Recipe:
    """From trained weights (``--start``): larger crops where faces have them, and L2, at a quarter of the rate."""
    config = {"width": width, "depth": depth, "scale": scale, "branches": bool(branches)}
    larger = ", on larger crops" if scale <= MOST_LARGER else ""
    squared = f"finished with L2{larger}, from weights that were trained with L1"
    slow: dict[str, Any] = {**GENTLE, "muon": 0.0025, "learning_rate": 1e-4}
    side = LARGER if larger else 0
    return faces_cpu("edge", config, 4_000, SKIP, squared, side=side, losses={"l2": 1.0}, finishes=True, **slow)


def int8(width: int = SIZES["tiny"][0], depth: int = SIZES["tiny"][1], scale: int = 4) -> Recipe:
    """The last steps, from trained weights (``--start``): L2 with the rounding of INT8, at a fifth of the rate."""
    config = {"width": width, "depth": depth, "scale": scale}
    rounded = "finished with the rounding of INT8 in place, from weights that were trained without"
    slow: dict[str, Any] = {**GENTLE, "muon": 0.002, "learning_rate": 8e-5}
    return faces_cpu("edge", config, 2_000, SKIP, rounded, losses={"l2": 1.0}, int8=True, finishes=True, **slow)


def _plain(width: int, depth: int, scale: int, branches: int, *deviations: str, **changes: Any) -> Recipe:
    config = {"width": width, "depth": depth, "scale": scale, "branches": bool(branches)}
    return faces_cpu("edge", config, 20_000, SKIP, *deviations, **GENTLE, **changes)


RECIPES = {
    "cpu": tiny,
    "nano": nano,
    "tiny": tiny,
    "small": small,
    "camera": camera,
    "finish": finish,
    "int8": int8,
}
