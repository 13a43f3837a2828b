"""How the detector is trained: mosaics of portraits and scenes and a teacher's maps; two hours of two CPU cores."""

from __future__ import annotations

from ..recipe import Recipe


def cpu(width: int = 64) -> Recipe:
    """Mosaics of as many pixels as 16 of 256×256."""
    return Recipe(
        network="detector",
        config={"width": width},
        steps=27_000,
        batch=16,
        crop=256,
        learning_rate=3e-3,
        warmup=150,
        muon=0.03,
        losses={"imitation": 1.0},
        clip=10.0,
        ema=0.999,
        deviations=(
            "labels are another detector's, and so are the maps that are imitated; labels overrule the maps",
            "no published schedule: as many steps as two hours of two CPU cores hold",
            "Muon instead of Adam for 1x1 convolutions: the loss of 900 steps of Adam after 600",
            "moving average of the weights (0.999), gradients clipped at norm 10",
        ),
    )


LIMITS = (
    "faces from 8 px; made for frames as cameras give them, not for drawings",
    "faces below 24 px in crowds, profiles, masks and dark frames are found less often",
    "learnt from the labels and maps of another detector, and so from its mistakes: dogs and monkeys count as faces",
    "landmarks are rough: for laying a face upright, not for measuring it",
)

RECIPES = {"cpu": cpu}
