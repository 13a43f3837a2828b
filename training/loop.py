"""The training loop: batches drawn ahead, steps, reports. What is learnt, a `Task` says; how, a `Recipe`."""

from __future__ import annotations

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
from .device import CPU
from .learner import Learner
from .recipe import Recipe
from .task import Task

TOLD_EVERY = 20


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
    learner = Learner(recipe, task, start, device)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}; choose another folder") from None
    checkpoint = folder / "checkpoint.pt"
    first = learner.resume(checkpoint)
    began, running = time.monotonic(), math.nan

    def progress(done: int, scores: dict[str, float]) -> Progress:
        return Progress(done, recipe.steps, running, (done - first) / (time.monotonic() - began), scores)

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
