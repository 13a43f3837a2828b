"""Defaults of the recipes for CPUs: few multiply-adds per step, fast convergence."""

from __future__ import annotations

from typing import Any

from ..recipe import Recipe

COMMON_DEVIATIONS = (
    "Muon for the hidden convolutions, Adam for the rest, cosine decay: equals Adam after a sixth of the steps",
    "moving average of the weights (0.995), gradients clipped at norm 1",
)
MAX_24PX_SCALE = 6
"""Largest scale at which 24-pixel inputs come from faces of at most 144 pixels."""
SMALL_RESIDUAL_INIT: dict[str, Any] = {"muon": 0.01, "muon_decay": 0.2}
"""For stacks of convolutions without normalization or skip connections: at twice the rate SISN and edge diverge."""
BICUBIC_SKIP = "the bicubic picture is added to the output, so that the network learns the detail only"
MIRRORED = "half of the faces are mirrored, which the paper does not mention"
ACTIVATED_SUB_PIXEL = "a ReLU in each sub-pixel step, which the paper does not mention"
CAMERA_DEGRADATION = (
    "low-resolution faces recorded by simulated cameras instead of bicubic: blur, noise, image processing, and real "
    "codecs of whole frames; some of them clean"
)
"""Deviation of the camera recipes; the papers use bicubic only."""
CAMERA: dict[str, Any] = {"degradation": "recorded", "shards": 96, "bf16": True}
"""Changes of the camera recipes. Networks converge equally in bfloat16, and CPUs with AMX take half of the time."""
LIMITATIONS = (
    "faces of 8 to 85 px; trained on sharp portraits downsampled by bicubic: does not remove blur, noise, compression",
    "added detail is an estimate: plausible, not evidence; not for identification",
    "few profiles, masks and dark pictures in the training data",
)
CAMERA_LIMITATIONS = (
    "faces of 8 to 128 px; trained on portraits recorded by simulated cameras with real codecs, not on real footage",
    "removes moderate blur, noise and compression; detail dropped by a codec is estimated; on clean input a network "
    "trained on bicubic is sharper",
    *LIMITATIONS[1:],
)
"""Limitations of weights trained with camera degradation."""


def cpu_recipe(
    network: str, config: dict[str, Any], steps: int, *deviations: str, side: int = 0, batch: int = 8, **changes: Any
) -> Recipe:
    """Recipe that one CPU core can finish.

    Args:
        network, config, steps, batch: as in `Recipe`.
        deviations: differences from the paper, besides `COMMON_DEVIATIONS`.
        side: side of the inputs in pixels; 0 for 24, or 16 where 24 would exceed the size of the faces.
        changes: values of further recipe fields.
    """
    side = side or (24 if config["scale"] <= MAX_24PX_SCALE else 16)
    defaults: dict[str, Any] = {
        "crop": side * config["scale"],
        "learning_rate": 4e-4,
        "warmup": 50,
        "muon": 0.02,
        "muon_on": "hidden",
        "clip": 1.0,
        "ema": 0.995,
        "deviations": (
            f"{side}x{side} inputs; steps and batches that a CPU can afford",
            " and ".join(loss.upper() for loss in changes.get("losses", {"l1": 1.0})) + " only",
            *COMMON_DEVIATIONS,
            *deviations,
        ),
    }
    return Recipe(network, config, steps, batch, **{**defaults, **changes})
