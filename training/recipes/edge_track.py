"""Recipes of the edge network of tracks: recorded tracks, fine-tuning, quantization-aware training."""

from __future__ import annotations

from typing import Any

from ...engines.bundle.io_spec import FRAMES
from ..recipe import Recipe
from .cpu import CAMERA, CAMERA_DEGRADATION
from .edge import edge_recipe, finetune_changes

WIDTH, DEPTH = 48, 8
"""Of the network by default, see `EdgeTrack`."""
SHARDS = 72
"""About 31,000 tracks."""
TRACKS = f"tracks of 2 to {FRAMES} crops of a face; in one of twelve a wrong face, an occlusion or wrong motions"
TRACK: dict[str, Any] = {"network": "edge-track", "frames": FRAMES, "batch": 16, "ema": 0.999, **CAMERA}


def track(width: int = WIDTH, depth: int = DEPTH, scale: int = 4, branches: int = 1, shards: int = SHARDS) -> Recipe:
    """Train on recorded tracks, from the weights of an edge network or from scratch.

    The learning rates are half of those of the edge network.
    """
    changes = {**TRACK, "shards": shards, "muon": 0.005, "learning_rate": 5e-4, "steps": 16_000}
    return edge_recipe(width, depth, scale, branches, CAMERA_DEGRADATION, TRACKS, **changes)


def finetune(width: int = WIDTH, depth: int = DEPTH, scale: int = 4, branches: int = 1) -> Recipe:
    """Continue from trained weights at a quarter of the learning rates."""
    deviation = "fine-tuned from trained weights at a quarter of the learning rates"
    return edge_recipe(width, depth, scale, branches, deviation, TRACKS, **TRACK, **finetune_changes(4))


def int8(width: int = WIDTH, depth: int = DEPTH, scale: int = 4) -> Recipe:
    """Quantization-aware fine-tuning at 1/50 of the learning rates, see `edge.int8`."""
    deviation = "quantization-aware fine-tuning of weights that were trained without quantization"
    return edge_recipe(width, depth, scale, 0, deviation, TRACKS, int8=True, **TRACK, **finetune_changes(50))


RECIPES = {"cpu": track, "track": track, "finetune": finetune, "int8": int8}
