"""A network that learns: weights, their moving average, the optimiser, and the checkpoint that keeps them all."""

from __future__ import annotations

import copy
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn

from ..engines.errors import OutputError, TrainingError
from ..networks import build_network
from .device import CPU, moved
from .optimizer import Optimizer
from .partial_load import partial_load
from .qat import prepare_qat
from .recipe import Recipe
from .tasks import Stateful, Task


class Trainer:
    """All that changes while a network learns, and that a checkpoint keeps."""

    def __init__(self, recipe: Recipe, task: Task, start: Mapping[str, Tensor] | None, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.task, self.device = recipe, task, device
        self.network = build_network(recipe.network, recipe.config)
        if start is not None:
            self.network.load_state_dict({**self.network.state_dict(), **partial_load(self.network, start, recipe)})
        if recipe.int8:
            prepare_qat(self.network)
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub misses it
        task.to(device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.done = 0
        self.running: Tensor | None = None
        self.optimiser = Optimizer(
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
        return self.average if self.recipe.ema else self.network

    def step(self, batch: Any, share: float) -> None:
        """One step of the optimiser at a share of its peak rates; `running` follows the loss; NaN stays."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.recipe.bf16):
            loss = self.task.loss(self.network, moved(batch, self.device))
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.optimiser.step(share)
        if self.recipe.ema:
            self._follow(self.recipe.ema_at(self.done))
        self.done += 1
        loss = loss.detach()
        self.running = loss if self.running is None else self.running.lerp(loss, 0.02)

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        """The moving average takes in the weights, what normalisations have seen, and takes over what is counted."""
        of = zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True)
        pairs = [(mean, now) for mean, now in of if mean.is_floating_point()]
        follow = torch.optim.swa_utils.get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        follow(*map(list, zip(*pairs, strict=True)), 0)
        for mean, now in zip(self.average.buffers(), self.network.buffers(), strict=True):
            if not mean.is_floating_point():
                mean.copy_(now)

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
            "task": self.task.state_dict() if isinstance(self.task, Stateful) else {},
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
            state = torch.load(path, map_location="cpu", weights_only=True)
            recipe = state["recipe"]
        except Exception:  # damage shows in any way: KeyError, UnpicklingError, RuntimeError, ...
            raise TrainingError(f"{path} is no checkpoint, or is damaged; remove it to start again") from None
        if recipe != self.recipe.identity:
            raise TrainingError(
                f"{path} was trained by another recipe; give another folder, or remove it to start again"
            )
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (KeyError, RuntimeError, ValueError):
            raise TrainingError(
                f"{path} is of another release, or damaged; go on with that release, or remove it to start again"
            ) from None
        if isinstance(self.task, Stateful):
            self.task.load_state_dict(state.get("task", {}))
        self.done = int(state["step"])
        return self.done


TOLD_EVERY = 20


@dataclass(frozen=True)
class TrainProgress:
    """One report of a running training."""

    step: int
    steps: int
    loss: float
    steps_per_second: float
    scores: dict[str, float]


Report = Callable[[TrainProgress], None]


def train(
    recipe: Recipe,
    task: Task,
    folder: Path,
    report: Report,
    *,
    start: Mapping[str, Tensor] | None = None,
    device: torch.device = CPU,
    workers: int = 1,
    evaluate_every: int = 1000,
    save_every: int = 200,
) -> nn.Module:
    """Train from the folder's checkpoint, or from scratch, to the recipe's last step.

    Args:
        recipe: how.
        task: what.
        folder: where ``checkpoint.pt`` lies; made if missing. Interrupt at will: the next call goes on from it.
        report: called every `TOLD_EVERY` steps and after each evaluation.
        start: weights to start from where there is no checkpoint; what does not fit the network is left at its random
            values.
        device: where the network learns.
        workers: threads that draw batches ahead.
        evaluate_every: steps between evaluations.
        save_every: steps between checkpoints.

    Returns:
        The trained network (the moving average where the recipe has one), in evaluation mode.

    Raises:
        TrainingError: the checkpoint belongs to another recipe or is damaged, the loss is not a number, or none of
            the weights to start from fits.
        OutputError: the folder cannot be written.
    """
    learner = Trainer(recipe, task, start, device)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}; choose another folder") from None
    checkpoint = folder / "checkpoint.pt"
    first = learner.resume(checkpoint)
    began, running = time.monotonic(), math.nan

    def progress(done: int, scores: dict[str, float]) -> TrainProgress:
        return TrainProgress(done, recipe.steps, running, (done - first) / (time.monotonic() - began), scores)

    for step, batch in enumerate(_drawn(recipe, task, first, workers), first):
        learner.step(batch, recipe.share(step))
        done = step + 1
        saving = done % save_every == 0 or done == recipe.steps
        if saving or done % evaluate_every == 0 or done % TOLD_EVERY == 0:
            running = float("nan") if learner.running is None else learner.running.item()
            if not math.isfinite(running):
                raise TrainingError(f"loss is {running} by step {step}; lower the learning rate and start again")
        if saving:
            learner.save(checkpoint, done)
        if done % evaluate_every == 0 and done < recipe.steps:
            report(progress(done, learner.scores()))
        elif done % TOLD_EVERY == 0:
            report(progress(done, {}))
    report(progress(max(first, recipe.steps), learner.scores()))
    return learner.result.cpu().eval()


def _drawn(recipe: Recipe, task: Task, first: int, workers: int) -> Iterator[Any]:
    """Batches from a step on, drawn ahead by threads; chance in batch *i* is the same whoever draws it."""

    def draw(step: int) -> Any:
        return task.batch(np.random.default_rng((recipe.seed, step)))

    # A batch is drawn beside the network's arithmetic: threads of NumPy's own would wait for its cores, 100 ms a batch.
    with ThreadpoolController().select(internal_api="openblas").limit(limits=1), ThreadPoolExecutor(workers) as pool:
        ahead = deque(pool.submit(draw, step) for step in range(first, min(first + workers, recipe.steps)))
        for step in range(first, recipe.steps):
            batch = ahead.popleft().result()
            if step + workers < recipe.steps:
                ahead.append(pool.submit(draw, step + workers))
            yield batch
