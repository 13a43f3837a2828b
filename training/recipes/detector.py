"""How the detector is trained: mosaics of portraits and scenes, a teacher's maps, two hours of one CPU core."""

from __future__ import annotations

from ..loop import Recipe


def cpu(width: int = 64) -> Recipe:
    """Mosaics of as many pixels as 16 of 256×256."""
    return Recipe(
        network="detector",
        config={"width": width},
        steps=18_000,
        batch=16,
        crop=256,
        learning_rate=2e-3,
        warmup=300,
        loss="imitation",
        clip=10.0,
        ema=0.998,
        deviations=(
            "labels are another detector's, and so are the maps that are imitated; labels overrule the maps",
            "no published schedule: as many steps as two hours of one CPU core hold",
            "moving average of the weights (0.998), gradients clipped at norm 10",
        ),
    )


LIMITS = (
    "faces from 8 px; made for frames as cameras give them, not for drawings",
    "learnt from the labels and maps of another detector, and so from its mistakes",
    "profiles, masks and dark frames are found less often",
)

RECIPES = {"cpu": cpu}
