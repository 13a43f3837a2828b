"""The training loop: steps, schedule, moving average, checkpoints. What is learnt, a `Task` says; how, a `Recipe`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..engines.errors import TrainingError
from ..networks import build_network


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
        schedule: "cosine" to zero, or "steps": times `decay` every `decay_every` steps.
        loss: name of the loss, for the task.
        bf16: run the network's arithmetic in bfloat16 (weights stay FP32).
        clip: largest gradient norm, 0 for none.
        ema: decay of the moving average of the weights that is kept as the result; 0 keeps the weights themselves.
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
    loss: str = "l1"
    bf16: bool = False
    clip: float = 0.0
    ema: float = 0.0
    seed: int = 2024
    deviations: tuple[str, ...] = field(default=())

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.schedule == "steps":
            return warm * self.learning_rate * self.decay ** (step // self.decay_every)
        return warm * self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))


class Task(Protocol):
    """What is learnt: batches, their loss, and a score on held-out data."""

    def batch(self, rng: np.random.Generator) -> Any:
        """Draw a batch; called from a second thread while the previous step runs."""

    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        """Scalar loss of a batch."""

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Scores on held-out data, e.g. ``{"psnr_gain_db": 2.8}``."""


@dataclass(frozen=True)
class Progress:
    """One report of a running training."""

    step: int
    steps: int
    loss: float
    steps_per_second: float
    scores: dict[str, float]


Report = Callable[[Progress], None]


def train(
    recipe: Recipe, task: Task, folder: Path, report: Report, *, evaluate_every: int = 1000, save_every: int = 200
) -> nn.Module:
    """Train from the folder's checkpoint, or from scratch, to the recipe's last step.

    Args:
        recipe: how.
        task: what.
        folder: where ``checkpoint.pt`` lies; made if missing. Interrupt at will: the next call goes on from it.
        report: called every 20 steps and after each evaluation.
        evaluate_every: steps between evaluations.
        save_every: steps between checkpoints.

    Returns:
        The trained network (the moving average where the recipe has one), in evaluation mode.

    Raises:
        TrainingError: the checkpoint belongs to another recipe, or the loss is not a number.
    """
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.network, recipe.config).to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.ema), use_buffers=True
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.999))
    checkpoint = folder / "checkpoint.pt"
    folder.mkdir(parents=True, exist_ok=True)
    start = _resume(checkpoint, recipe, network, average, optimiser)
    kept = average.module if recipe.ema else network

    began, first, running = time.monotonic(), start, math.nan
    with ThreadPoolExecutor(1) as ahead:
        batch = ahead.submit(task.batch, _rng(recipe, start))
        for step in range(start, recipe.steps):
            ready, batch = batch.result(), ahead.submit(task.batch, _rng(recipe, step + 1))
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate(step)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.bf16):
                loss = task.loss(network, ready)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if recipe.clip:
                nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
            optimiser.step()
            if recipe.ema:
                average.update_parameters(network)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise TrainingError(f"loss is {value} at step {step}; lower the learning rate and start again")
            running = value if math.isnan(running) else 0.98 * running + 0.02 * value
            done = step + 1
            if done % save_every == 0 or done == recipe.steps:
                _save(checkpoint, recipe, done, network, average, optimiser)
            evaluated = done % evaluate_every == 0 or done == recipe.steps
            if evaluated or done % 20 == 0:
                scores = _scores(task, kept) if evaluated else {}
                report(Progress(done, recipe.steps, running, (done - first) / (time.monotonic() - began), scores))
    return kept.eval()


def _rng(recipe: Recipe, step: int) -> np.random.Generator:
    return np.random.default_rng((recipe.seed, step))


def _scores(task: Task, network: nn.Module) -> dict[str, float]:
    network.eval()
    with torch.inference_mode():
        scores = task.evaluate(network)
    network.train()
    return scores


def _save(path: Path, recipe: Recipe, step: int, network: nn.Module, average: nn.Module, optimiser: Any) -> None:
    """Write the checkpoint beside the old one, then rename: a killed run keeps the last whole one."""
    state = {
        "recipe": repr(asdict(recipe)),
        "step": step,
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def _resume(path: Path, recipe: Recipe, network: nn.Module, average: nn.Module, optimiser: Any) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if state["recipe"] != repr(asdict(recipe)):
        raise TrainingError(f"{path} was trained by another recipe; give another folder, or remove it to start again")
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])
