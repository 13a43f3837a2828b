"""The training loop: steps, schedule, moving average, checkpoints. What is learnt, a `Task` says; how, a `Recipe`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from ..engines.errors import OutputError, TrainingError
from ..networks import build_network
from .optimiser import Optimiser
from .recipe import Recipe


class Task(Protocol):
    """What is learnt: batches, their loss, and a score on held-out data."""

    def batch(self, rng: np.random.Generator) -> Any:
        """Draw a batch; called from a second thread while the previous step runs."""

    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        """Scalar loss of a batch."""

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Scores on held-out data, e.g. ``{"psnr_gain_db": 2.8}``."""


@runtime_checkable
class Learning(Protocol):
    """What a `Task` is besides, where something of its own learns as it goes: checkpoints keep that too."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and text; empty where nothing learns."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""


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
        TrainingError: the checkpoint belongs to another recipe or is damaged, the loss is not a number, or none of
            the weights to start from fits.
        OutputError: the folder cannot be written.
    """
    state = _State(recipe, task, start)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}; choose another folder") from None
    checkpoint = folder / "checkpoint.pt"
    first = state.resume(checkpoint)
    began, running = time.monotonic(), math.nan

    def progress(done: int, scores: dict[str, float]) -> Progress:
        return Progress(done, recipe.steps, running, (done - first) / (time.monotonic() - began), scores)

    with ThreadPoolExecutor(1) as ahead:
        drawn = ahead.submit(task.batch, _rng(recipe, first))
        for step in range(first, recipe.steps):
            batch, drawn = drawn.result(), ahead.submit(task.batch, _rng(recipe, step + 1))
            loss = state.step(batch, recipe.share(step))
            if not math.isfinite(loss):
                raise TrainingError(f"loss is {loss} at step {step}; lower the learning rate and start again")
            running = loss if math.isnan(running) else 0.98 * running + 0.02 * loss
            done = step + 1
            if done % save_every == 0 or done == recipe.steps:
                state.save(checkpoint, done)
            if done % evaluate_every == 0 and done < recipe.steps:
                report(progress(done, state.scores()))
            elif done % 20 == 0:
                report(progress(done, {}))
    report(progress(max(first, recipe.steps), state.scores()))
    return state.result.eval()


def _rng(recipe: Recipe, step: int) -> np.random.Generator:
    return np.random.default_rng((recipe.seed, step))


class _State:
    """All that changes while a network learns, and that a checkpoint keeps."""

    def __init__(self, recipe: Recipe, task: Task, start: Mapping[str, Tensor] | None) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.task = recipe, task
        self.network = build_network(recipe.network, recipe.config)
        if start is not None:
            take_fitting(self.network, start, recipe)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub misses it
        ema = torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.ema)  # type: ignore[no-untyped-call]
        self.average = torch.optim.swa_utils.AveragedModel(self.network, multi_avg_fn=ema, use_buffers=True)
        self.optimiser = Optimiser(
            self.network,
            recipe.learning_rate,
            recipe.muon,
            recipe.muon_on,
            recipe.beta1,
            recipe.weight_decay,
            recipe.muon_decay,
        )

    @property
    def result(self) -> nn.Module:
        """The weights that count."""
        return self.average.module if self.recipe.ema else self.network

    def step(self, batch: Any, share: float) -> float:
        """One step of the optimiser at a share of its peak rates; returns the loss before it."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.recipe.bf16):
            loss = self.task.loss(self.network, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.optimiser.step(share)
        if self.recipe.ema:
            self.average.update_parameters(self.network)
        return float(loss.detach())

    def scores(self) -> dict[str, float]:
        """The task's scores of the weights that count."""
        self.result.eval()
        with torch.inference_mode():
            scores = self.task.evaluate(self.result)
        self.result.train()
        return scores

    def save(self, path: Path, step: int) -> None:
        """Write the checkpoint beside the old one, then rename: a killed run keeps the last whole one."""
        state = {
            "recipe": self.recipe.identity,
            "step": step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "task": self.task.state_dict() if isinstance(self.task, Learning) else {},
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
        if recipe != self.recipe.identity:
            raise TrainingError(
                f"{path} was trained by another recipe; give another folder, or remove it to start again"
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        if isinstance(self.task, Learning):
            self.task.load_state_dict(state.get("task", {}))
        return int(state["step"])


def take_fitting(network: nn.Module, start: Mapping[str, Tensor], recipe: Recipe) -> None:
    """Give a network those weights that have the name and the shape of its own; the others stay as they are.

    Raises:
        TrainingError: there are none.
    """
    own = network.state_dict()
    fitting = {key: value for key, value in start.items() if key in own and own[key].shape == value.shape}
    if not fitting:
        raise TrainingError(
            f"none of the {len(start)} tensors to start from fits {recipe.network} with {recipe.config}; give weights "
            "of a network like it, or leave --start out"
        )
    network.load_state_dict({**own, **fitting})
