"""How a network is trained: all that is decided before the first step."""

from __future__ import annotations

import math
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Everything here goes to the card of the weights.

    Args:
        network: a key of `NETWORKS`.
        config: the network's keyword arguments.
        steps: optimiser steps in all.
        batch: samples a step.
        crop: side of a training sample in pixels, at the high resolution.
        learning_rate: peak rate of Adam.
        muon: peak rate of Muon; 0 to leave all to Adam.
        muon_on: which weights are Muon's, see `hidden_matrices`.
        muon_decay: of these weights, times Muon's rate; keeps deep networks without norms from running away.
        beta1: decay of Adam's mean of gradients.
        weight_decay: what Adam adds to a gradient, in parts of the weight.
        schedule: "cosine" to zero, or "steps": times `decay` every `decay_every` steps.
        losses: terms of the loss and what each counts, for the task.
        vgg_layer: where perceptual terms look, e.g. "conv5_4"; empty where there is none.
        degradation: how a face becomes small, for the task.
        clean: share of the faces that become small by bicubic whatever the degradation, so that it is not forgotten.
        scales: enlargements to draw from, for networks of any; empty for the configuration's own.
        bf16: run the network's arithmetic in bfloat16 (weights stay FP32).
        int8: learn with the rounding of INT8, see `fewer_bits`; the weights stay FP32.
        finishes: go on from trained weights of the whole network, on faces degraded as theirs were.
        taught: share of the loss that asks for a teacher's picture instead of the true face; 0 without a teacher.
        clip: largest gradient norm, 0 for none.
        ema: decay of the moving average of the weights that is kept as the result, see `ema_at`; 0 keeps the weights
            themselves.
        seed: of everything drawn at random; batch *i* depends on it and on *i* alone, so a resumed run draws the same.
        deviations: where this recipe departs from its paper, and why.
    """

    network: str
    config: dict[str, Any]
    steps: int
    batch: int
    crop: int
    learning_rate: float
    schedule: Literal["cosine", "steps"] = "cosine"
    decay: float = 1.0
    decay_every: int = 1
    warmup: int = 0
    muon: float = 0.0
    muon_on: Literal["pointwise", "hidden"] = "pointwise"
    muon_decay: float = 0.0
    beta1: float = 0.9
    weight_decay: float = 0.0
    losses: dict[str, float] = field(default_factory=lambda: {"l1": 1.0})
    vgg_layer: str = ""
    degradation: str = "bicubic"
    clean: float = 0.0
    scales: tuple[int, ...] = ()
    bf16: bool = False
    int8: bool = False
    finetune: bool = False
    distill_weight: float = 0.0
    clip: float = 0.0
    ema: float = 0.0
    seed: int = 2024
    deviations: tuple[str, ...] = field(default=())

    def share(self, step: int) -> float:
        """Share of the peak rates at a step, counted from 0."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.schedule == "steps":
            return warm * self.decay ** (step // self.decay_every)
        return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))

    def ema_at(self, step: int) -> float:
        """Decay of the moving average at a step, counted from 0: it looks back over a tenth of the way at most.

        So a short run forgets where it began: with 0.995 from the start, the averages of 400 steps of CRL, SRResNet and
        MFFCN were 0.5, 1.2 and 0.5 dB behind the weights themselves.
        """
        return min(self.ema, (1 + step) / (10 + step))

    @property
    def identity(self) -> str:
        """What a checkpoint says of its recipe: all that changes what is learnt, less the defaults.

        So fields that come later change nothing, nor does how deviations are worded.
        """
        said = asdict(self)
        counts = (f for f in fields(self) if f.name != "deviations")
        return repr({f.name: said[f.name] for f in counts if said[f.name] != _default(f)})


def _default(of: Any) -> Any:
    return of.default_factory() if of.default_factory is not MISSING else of.default
