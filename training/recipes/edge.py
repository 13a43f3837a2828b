"""How the network of our own is trained: nano, tiny and small, on clean faces and on those of cameras; how it ends."""

from __future__ import annotations

from typing import Any

from ...engines.errors import UsageError
from ...networks.edge.network import SIZES
from ..recipe import Recipe
from .camera import CAMERA
from .faces_cpu import BICUBIC_SKIP, SMALL_RESIDUAL_INIT, faces_cpu

WHOLE, MOST_WHOLE = 32, 4
"""Side of the inputs, in pixels, and the largest scale at which faces have as many: crops of 24 show the network more
borders and less face than it meets later, and cost 0.2 dB."""
EDGE: dict[str, Any] = {**SMALL_RESIDUAL_INIT, "learning_rate": 1e-3, "losses": {"psnr": 1.0}}
"""What its recipes change: 1,000 steps of nano on crops of 24 are worth 2.50 dB with PSNR as the loss, 2.43 with L1."""


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
    """On from trained weights (``--start``), at a quarter of the rate."""
    return _plain(width, depth, scale, branches, "gone on from trained weights, at a quarter of the rates", **_slow(4))


def int8(width: int = SIZES["tiny"][0], depth: int = SIZES["tiny"][1], scale: int = 4) -> Recipe:
    """The last steps, from trained weights (``--start``): with the rounding of INT8, at a fiftieth of the rates.

    Higher rates lose more at first than the rounding costs.
    """
    rounded = "finished with the rounding of INT8 in place, from weights that were trained without"
    return _plain(width, depth, scale, 0, rounded, int8=True, **_slow(50))


def _slow(part: int) -> dict[str, Any]:
    """What a recipe changes that finishes trained weights at a part of the rates."""
    return {
        "steps": 2_000,
        "finishes": True,
        "muon": EDGE["muon"] / part,
        "learning_rate": EDGE["learning_rate"] / part,
    }


def _plain(
    width: int, depth: int, scale: int, branches: int, *deviations: str, steps: int = 12_000, **changes: Any
) -> Recipe:
    if branches not in (0, 1):
        raise UsageError(f"expected branches=1 for a sum of branches or branches=0 for none, got branches={branches}")
    config = {"width": width, "depth": depth, "scale": scale} | ({"branches": True} if branches else {})
    side = WHOLE if scale <= MOST_WHOLE else 0
    return faces_cpu("edge", config, steps, BICUBIC_SKIP, *deviations, side=side, **{**EDGE, **changes})


RECIPES = {
    "cpu": tiny,
    "nano": nano,
    "tiny": tiny,
    "small": small,
    "camera": camera,
    "finish": finish,
    "int8": int8,
}
