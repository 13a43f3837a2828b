"""How IDRN is trained: the paper's settings (section 3.1), and a recipe that two CPU cores can finish in an hour."""

from __future__ import annotations

from ..loop import Recipe

FACES_AN_EPOCH = 23_000
"""Size of the paper's training set; its epochs are counted in these."""


def paper(depth: int = 8, width: int = 64, scale: int = 4) -> Recipe:
    """Section 3.1: 32×32 inputs in batches of 16, 120 epochs, Adam at 1e-4 (times 0.9 every 30 epochs), L2."""
    epoch = FACES_AN_EPOCH // 16
    return Recipe(
        network="idrn",
        config={"depth": depth, "width": width, "scale": scale, "bicubic_skip": False},
        steps=120 * epoch,
        batch=16,
        crop=32 * scale,
        learning_rate=1e-4,
        schedule="steps",
        decay=0.9,
        decay_every=30 * epoch,
        loss="l2",
    )


def cpu(depth: int = 8, width: int = 64, scale: int = 4) -> Recipe:
    """The same network in a fraction of the arithmetic."""
    return Recipe(
        network="idrn",
        config={"depth": depth, "width": width, "scale": scale, "bicubic_skip": True},
        steps=6_000,
        batch=8,
        crop=24 * scale,
        learning_rate=4e-4,
        warmup=100,
        loss="l1",
        clip=1.0,
        ema=0.995,
        deviations=(
            "6,000 steps of 8 faces instead of 172,440 of 16: two hours of one CPU core",
            "24x24 inputs instead of 32x32: more steps in the same time",
            "L1 instead of L2: sharper at equal steps",
            "Adam at 4e-4 with cosine decay instead of 1e-4 with steps: faster",
            "the bicubic picture is added to the output: the network learns the detail alone",
            "moving average of the weights (0.995), gradients clipped at norm 1",
        ),
    )


LIMITS = (
    "faces from 8 to 85 px; trained on sharp portraits shrunk by bicubic: blur, noise and compression are not undone",
    "added detail is an estimate: plausible, not evidence; not for identifying anybody",
    "few profiles, masks and dark pictures among the training faces",
)

RECIPES = {"paper": paper, "cpu": cpu}
