"""The training loop: steps, schedule, moving average, checkpoints. What is learnt, a `Task` says; how, a `Recipe`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..engines.errors import OutputError, TrainingError
from ..networks import build_network
from .optimiser import Optimiser


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
        schedule: "cosine" to zero, or "steps": times `decay` every `decay_every` steps.
        losses: terms of the loss and what each counts, for the task.
        degradation: how a face becomes small, for the task.
        scales: enlargements to draw from, for networks of any; empty for the configuration's own.
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
    muon: float = 0.0
    muon_on: Literal["pointwise", "hidden"] = "pointwise"
    losses: dict[str, float] = field(default_factory=lambda: {"l1": 1.0})
    degradation: str = "bicubic"
    scales: tuple[int, ...] = ()
    bf16: bool = False
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
    recipe: Recipe,
    task: Task,
    folder: Path,
    report: Report,
    *,
    start: Mapping[str, Tensor] | None = None,
    evaluate_every: int = 1000,
    save_every: int = 200,
) -> nn.Module:
    """Train from the folder's checkpoint, or from scratch, to the recipe's last step.

    Args:
        recipe: how.
        task: what.
        folder: where ``checkpoint.pt`` lies; made if missing. Interrupt at will: the next call goes on from it.
        report: called every 20 steps and after each evaluation.
        start: weights to start from where there is no checkpoint; what does not fit the network is left at its random
            values.
        evaluate_every: steps between evaluations.
        save_every: steps between checkpoints.

    Returns:
        The trained network (the moving average where the recipe has one), in evaluation mode.

    Raises:
        TrainingError: the checkpoint belongs to another recipe or is damaged, or the loss is not a number.
        OutputError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}; choose another folder") from None
    checkpoint = folder / "checkpoint.pt"
    state = _State(recipe, start or {})
    first = state.resume(checkpoint)
    began, running = time.monotonic(), math.nan

    def progress(done: int, scores: dict[str, float]) -> Progress:
        return Progress(done, recipe.steps, running, (done - first) / (time.monotonic() - began), scores)

    with ThreadPoolExecutor(1) as ahead:
        drawn = ahead.submit(task.batch, _rng(recipe, first))
        for step in range(first, recipe.steps):
            batch, drawn = drawn.result(), ahead.submit(task.batch, _rng(recipe, step + 1))
            loss = state.step(task, batch, recipe.share(step))
            if not math.isfinite(loss):
                raise TrainingError(f"loss is {loss} at step {step}; lower the learning rate and start again")
            running = loss if math.isnan(running) else 0.98 * running + 0.02 * loss
            done = step + 1
            if done % save_every == 0 or done == recipe.steps:
                state.save(checkpoint, done)
            if done % evaluate_every == 0 and done < recipe.steps:
                report(progress(done, state.scores(task)))
            elif done % 20 == 0:
                report(progress(done, {}))
    report(progress(max(first, recipe.steps), state.scores(task)))
    return state.result.eval()


def _identity(recipe: Recipe) -> str:
    """What a checkpoint says of its recipe: all that differs from the defaults, so that later fields change nothing."""
    said = asdict(recipe)
    return repr({f.name: said[f.name] for f in fields(Recipe) if said[f.name] != _default(f)})


def _default(of: Any) -> Any:
    return of.default_factory() if of.default_factory is not MISSING else of.default


def _rng(recipe: Recipe, step: int) -> np.random.Generator:
    return np.random.default_rng((recipe.seed, step))


class _State:
    """All that changes while a network learns, and that a checkpoint keeps."""

    def __init__(self, recipe: Recipe, start: Mapping[str, Tensor]) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.network = build_network(recipe.network, recipe.config)
        own = self.network.state_dict()
        fitting = {key: value for key, value in start.items() if key in own and own[key].shape == value.shape}
        self.network.load_state_dict({**own, **fitting})
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub misses it
        ema = torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.ema)  # type: ignore[no-untyped-call]
        self.average = torch.optim.swa_utils.AveragedModel(self.network, multi_avg_fn=ema, use_buffers=True)
        self.optimiser = Optimiser(self.network, recipe.learning_rate, recipe.muon, recipe.muon_on)

    @property
    def result(self) -> nn.Module:
        """The weights that count."""
        return self.average.module if self.recipe.ema else self.network

    def step(self, task: Task, batch: Any, share: float) -> float:
        """One step of the optimiser at a share of its peak rates; returns the loss before it."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.recipe.bf16):
            loss = task.loss(self.network, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.optimiser.step(share)
        if self.recipe.ema:
            self.average.update_parameters(self.network)
        return float(loss.detach())

    def scores(self, task: Task) -> dict[str, float]:
        """The task's scores of the weights that count."""
        self.result.eval()
        with torch.inference_mode():
            scores = task.evaluate(self.result)
        self.result.train()
        return scores

    def save(self, path: Path, step: int) -> None:
        """Write the checkpoint beside the old one, then rename: a killed run keeps the last whole one."""
        state = {
            "recipe": _identity(self.recipe),
            "step": step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        partial = path.with_suffix(".partial")
        try:
            torch.save(state, partial)
            partial.replace(path)
        except (OSError, RuntimeError) as error:  # torch's own writer raises the latter
            partial.unlink(missing_ok=True)
            raise OutputError(
                f"cannot write {path} ({str(error).splitlines()[0][:120]}); free some space, then go on: "
                "the last whole checkpoint is kept"
            ) from None

    def resume(self, path: Path) -> int:
        """Load a checkpoint if there is one; returns the step to go on from."""
        if not path.exists():
            return 0
        try:
            state = torch.load(path, weights_only=True)
            recipe = state["recipe"]
        except Exception:  # damage shows in any way: KeyError, UnpicklingError, RuntimeError, ...
            raise TrainingError(f"{path} is no checkpoint, or is damaged; remove it to start again") from None
        if recipe != _identity(self.recipe):
            raise TrainingError(
                f"{path} was trained by another recipe; give another folder, or remove it to start again"
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        return int(state["step"])
