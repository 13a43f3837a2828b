"""Training configuration of one run."""

from __future__ import annotations

import math
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal


@dataclass(frozen=True)
class Recipe:
    """Training configuration. Every field is written to the card of the trained weights.

    Args:
        network, config: key of `NETWORKS`, and keyword arguments of the network.
        steps, batch: total number of optimizer steps, and samples per step.
        crop: side of a high-resolution training sample in pixels.
        learning_rate: peak learning rate of Adam.
        schedule: "cosine" to zero, or "steps": multiplied by `decay` every `decay_every` steps.
        decay, decay_every: factor and interval in steps of the "steps" schedule.
        warmup: steps of linear warm-up.
        muon: peak learning rate of Muon; 0 trains all weights with Adam.
        muon_on: weights that Muon trains, see `hidden_matrices`.
        muon_decay: weight decay of Muon, multiplied by its learning rate; prevents divergence of deep networks without
            normalization.
        beta1: decay of Adam's first moment.
        weight_decay: L2 penalty that Adam adds to the gradient.
        losses: loss term -> weight, read by the task.
        vgg_layer: VGG-19 layer of the perceptual terms, e.g. "conv5_4"; empty without such terms.
        degradation: key of `DEGRADATIONS`: how low-resolution faces are made.
        frames: crops of a track that the network reads at most, see `data.recorded_tracks`; 1 for single faces.
        shards: shards of pairs or tracks that are recorded before training, see `data.cameras.shard_cache`; 0 to make
            pairs at each step.
        clean: fraction of faces that are downsampled by bicubic whatever the degradation, so that quality on clean
            input is kept.
        scales: scales to draw from, for networks of any scale; empty for the scale of the configuration.
        bf16: run the network under bfloat16 autocast; the weights stay FP32.
        int8: quantization-aware training, see `qat`; the weights stay FP32.
        finetune: continue from complete trained weights, with the degradation that they were trained on.
        frozen: submodules of the network whose weights and statistics are kept, e.g. ("stem",).
        distill_weight: weight of the teacher's output in the loss, 0..1, the true face has the remaining weight; 0
            without a teacher.
        clip: maximum gradient norm; 0 disables clipping.
        ema: decay of the moving average of the weights, which is the result, see `ema_at`; 0 disables it.
        seed: random seed. Batch *i* depends on the seed and on *i* alone, so a resumed run draws the same batches.
        deviations: differences from the paper, with reasons.
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
    frames: int = 1
    shards: int = 0
    clean: float = 0.0
    scales: tuple[int, ...] = ()
    bf16: bool = False
    int8: bool = False
    finetune: bool = False
    frozen: tuple[str, ...] = ()
    distill_weight: float = 0.0
    clip: float = 0.0
    ema: float = 0.0
    seed: int = 2024
    deviations: tuple[str, ...] = field(default=())

    def lr_scale(self, step: int) -> float:
        """Learning rate at a step, counted from 0, as a fraction of the peak rates."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.schedule == "steps":
            return warm * self.decay ** (step // self.decay_every)
        return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))

    def ema_at(self, step: int) -> float:
        """Decay of the moving average at a step, counted from 0; the window is at most a tenth of the steps so far.

        With a constant 0.995, the averages of 400-step runs of CRL, SRResNet and MFFCN were 0.5, 1.2 and 0.5 dB worse
        than the weights themselves.
        """
        return min(self.ema, (1 + step) / (10 + step))

    @property
    def identity(self) -> str:
        """Identifies the recipe in a checkpoint: all fields that differ from their defaults, except `deviations`.

        New fields and reworded deviations therefore keep existing checkpoints valid.
        """
        values = asdict(self)
        relevant = (f for f in fields(self) if f.name != "deviations")
        return repr({f.name: values[f.name] for f in relevant if values[f.name] != _default(f)})


def _default(of: Any) -> Any:
    return of.default_factory() if of.default_factory is not MISSING else of.default
