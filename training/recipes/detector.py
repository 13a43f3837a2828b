"""How the detector is trained: mosaics of portraits and scenes, an hour of one CPU core."""

from __future__ import annotations

from ..loop import Recipe


def cpu(width: int = 56) -> Recipe:
    """Mosaics of 256×256 in batches of 16."""
    return Recipe(
        network="detector",
        config={"width": width},
        steps=8_000,
        batch=16,
        crop=256,
        learning_rate=2e-3,
        warmup=300,
        loss="detection",
        clip=10.0,
        ema=0.998,
        deviations=(
            "labels are another detector's: below a score of 0.7 they are left out of the loss",
            "no published schedule: as many steps as an hour of one CPU core holds",
            "moving average of the weights (0.998), gradients clipped at norm 10",
        ),
    )


LIMITS = (
    "faces from 10 px; made for frames as cameras give them, not for drawings",
    "learnt from the labels of another detector, and so from its mistakes",
    "profiles, masks and dark frames are found less often",
)

RECIPES = {"cpu": cpu}
