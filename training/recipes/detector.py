"""Recipe of the detector: mosaics of portraits and scenes, distillation; two hours on two CPU cores."""

from __future__ import annotations

from dataclasses import replace

from ..recipe import Recipe


def cpu(width: int = 64) -> Recipe:
    """Batches with as many pixels as 16 mosaics of 256×256."""
    return Recipe(
        network="detector",
        config={"width": width},
        steps=27_000,
        batch=16,
        crop=256,
        learning_rate=3e-3,
        warmup=150,
        muon=0.03,
        losses={"distillation": 1.0},
        clip=10.0,
        ema=0.999,
        deviations=(
            "labels and teacher outputs are those of another detector; labels override the teacher",
            "no published schedule: as many steps as two CPU cores run in two hours",
            "Muon instead of Adam for 1x1 convolutions: reaches the loss of 900 Adam steps after 600",
            "moving average of the weights (0.999), gradients clipped at norm 10",
        ),
    )


def finetune(width: int = 64) -> Recipe:
    """Continue from trained weights with fixed strides 2 and 4, which take half the time of a step."""
    return replace(cpu(width), steps=15_000, frozen=("stem", "quarter"))


def landmarks(width: int = 64, landmark_width: int = 32) -> Recipe:
    """Train the landmark heads of trained weights; scores and boxes do not change."""
    return replace(
        cpu(width),
        config={"width": width, "landmark_width": landmark_width},
        steps=6_000,
        frozen=("stem", "quarter", "stages", "merges", "heads"),
        losses={"landmarks": 1.0},
    )


LIMITATIONS = (
    "faces of 8 px and more, in camera frames; not for drawings",
    "lower recall for faces below 24 px in crowds, profiles, masks and dark frames",
    "trained on labels and outputs of another detector, including its errors: detects faces of dogs and monkeys",
    "landmarks are approximate: suited to align a face, not to measure it",
)
RECIPES = {"cpu": cpu, "finetune": finetune, "landmarks": landmarks}
