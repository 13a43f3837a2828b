"""Training loop and checkpoints."""

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
from ..engines.files import atomic_file
from ..networks import build_network
from .device import CPU, denormals_are_zero, to_device
from .optimizer import Optimizer
from .partial_load import partial_load
from .qat import prepare_qat
from .recipe import Recipe
from .tasks import Stateful, Task

CHECKPOINT = "checkpoint.pt"
CHECKPOINT_FORMAT = 2
"""Checkpoints without a number are of format 1, whose recipe fields had other names."""
REPORT_EVERY = 20
"""Steps between progress reports."""


class Trainer:
    """State of a training run: network, moving average, optimizer and step; saved to and restored from a checkpoint."""

    def __init__(
        self, recipe: Recipe, task: Task, init_weights: Mapping[str, Tensor] | None, device: torch.device
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.task, self.device = recipe, task, device
        self.network = build_network(recipe.network, recipe.config)
        if init_weights is not None:
            matching = partial_load(self.network, init_weights, recipe)
            self.network.load_state_dict({**self.network.state_dict(), **matching})
        if recipe.int8:
            prepare_qat(self.network)
        self._freeze()
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub misses it
        task.to(device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.step_count = 0
        self.running_loss: Tensor | None = None
        self.optimizer = Optimizer(self.network, recipe)

    @property
    def result(self) -> nn.Module:
        """The network to evaluate and return: the moving average where the recipe has one."""
        return self.average if self.recipe.ema else self.network

    def step(self, batch: Any, lr_scale: float) -> None:
        """Run one optimizer step at a fraction of the peak learning rates.

        `running_loss` is a moving average of the loss and stays NaN once the loss was.
        """
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.recipe.bf16):
            loss = self.task.loss(self.network, to_device(batch, self.device))
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.optimizer.step(lr_scale)
        if self.recipe.ema:
            self._update_average(self.recipe.ema_at(self.step_count))
        self.step_count += 1
        loss = loss.detach()
        self.running_loss = loss if self.running_loss is None else self.running_loss.lerp(loss, 0.02)

    @torch.no_grad()
    def _update_average(self, decay: float) -> None:
        """Average weights and floating-point buffers; copy integer buffers such as counters."""
        states = zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True)
        pairs = [(average, current) for average, current in states if average.is_floating_point()]
        update = torch.optim.swa_utils.get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        update(*map(list, zip(*pairs, strict=True)), 0)
        for average, current in zip(self.average.buffers(), self.network.buffers(), strict=True):
            if not average.is_floating_point():
                average.copy_(current)

    def evaluate(self) -> dict[str, float]:
        """Scores of `result` on the validation data of the task."""
        self.result.eval()
        with torch.inference_mode():
            scores = self.task.evaluate(self.result)
        self.result.train()
        self._freeze()
        return scores

    def _freeze(self) -> None:
        """Keep the weights and statistics of the frozen modules; `train` undoes the latter."""
        for name in self.recipe.frozen:
            self.network.get_submodule(name).requires_grad_(False).eval()

    def save(self, path: Path, step: int) -> None:
        """Write a checkpoint atomically: an interrupted run keeps the previous one.

        Raises:
            OutputError: the file cannot be written.
        """
        state = {
            "format": CHECKPOINT_FORMAT,
            "recipe": self.recipe.identity,
            "step": step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "task": self.task.state_dict() if isinstance(self.task, Stateful) else {},
        }
        try:
            with atomic_file(path) as file:
                torch.save(state, file)
        except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError
            raise OutputError(
                f"cannot write {path} ({str(error).splitlines()[0][:120]}); free disk space and run the same command "
                "again: the previous checkpoint is kept"
            ) from None

    def resume(self, path: Path) -> int:
        """Load a checkpoint if it exists; returns the number of steps done.

        Raises:
            TrainingError: see `read_checkpoint`; or the checkpoint does not fit the network.
        """
        state = read_checkpoint(path, self.recipe)
        if state is None:
            return 0
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            if isinstance(self.task, Stateful):
                self.task.load_state_dict(state["task"])
            self.step_count = int(state["step"])
        except (KeyError, RuntimeError, TypeError, ValueError):
            raise TrainingError(f"{path} does not fit {self.recipe.network}; delete it to start over") from None
        return self.step_count


def read_checkpoint(path: Path, recipe: Recipe) -> dict[str, Any] | None:
    """State of an interrupted run of a recipe; None without a checkpoint.

    Raises:
        TrainingError: the checkpoint is damaged, or belongs to another recipe or release.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        identity, version = state["recipe"], state.get("format", 1)
    except Exception:  # damage raises any type: KeyError, UnpicklingError, RuntimeError, ...
        raise TrainingError(f"{path} is not a checkpoint or is damaged; delete it to start over") from None
    if version != CHECKPOINT_FORMAT:
        raise TrainingError(
            f"{path} was written by another release whose recipe fields have other names (format {version}, not "
            f"{CHECKPOINT_FORMAT}); start over with --init-weights FILE, or finish the run with that release"
        )
    if identity != recipe.identity:
        raise TrainingError(f"{path} belongs to another recipe; give another output folder, or delete it to start over")
    return state


@dataclass(frozen=True)
class TrainProgress:
    """One progress report of a training run."""

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
    init_weights: Mapping[str, Tensor] | None = None,
    device: torch.device = CPU,
    workers: int = 1,
    evaluate_every: int = 1000,
    save_every: int = 200,
) -> nn.Module:
    """Train to the last step of the recipe, from the checkpoint of the folder or from the start.

    Args:
        folder: holds ``checkpoint.pt``; created if missing. An interrupted run continues at the next call.
        report: called every `REPORT_EVERY` steps and after each evaluation.
        init_weights: initial weights where there is no checkpoint, see `partial_load`.
        workers: threads that prepare batches.
        evaluate_every, save_every: steps between evaluations and between checkpoints.

    Returns:
        The trained network (the moving average where the recipe has one) on the CPU, in evaluation mode.

    Raises:
        TrainingError: the checkpoint is damaged or belongs to another recipe, the loss is not finite, or no initial
            weight fits.
        OutputError: the folder cannot be written.
    """
    trainer = Trainer(recipe, task, init_weights, device)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}; choose another folder") from None
    checkpoint = folder / CHECKPOINT
    first = trainer.resume(checkpoint)
    start_time, loss = time.monotonic(), math.nan

    def progress(step: int, scores: dict[str, float]) -> TrainProgress:
        return TrainProgress(step, recipe.steps, loss, (step - first) / (time.monotonic() - start_time), scores)

    with denormals_are_zero():
        for step, batch in enumerate(_batches(recipe, task, first, workers), first + 1):
            trainer.step(batch, recipe.lr_scale(step - 1))
            saving = step % save_every == 0 or step == recipe.steps
            if saving or step % evaluate_every == 0 or step % REPORT_EVERY == 0:
                loss = math.nan if trainer.running_loss is None else trainer.running_loss.item()
                if not math.isfinite(loss):
                    raise TrainingError(
                        f"the loss is {loss} at step {step - 1}; lower the learning rate and start over"
                    )
            if saving:
                trainer.save(checkpoint, step)
            if step % evaluate_every == 0 and step < recipe.steps:
                report(progress(step, trainer.evaluate()))
            elif step % REPORT_EVERY == 0:
                report(progress(step, {}))
    report(progress(max(first, recipe.steps), trainer.evaluate()))
    return trainer.result.cpu().eval()


def _batches(recipe: Recipe, task: Task, first: int, workers: int) -> Iterator[Any]:
    """Batches from step `first` on, prepared by worker threads; batch *i* does not depend on the worker."""

    def draw(step: int) -> Any:
        return task.batch(np.random.default_rng((recipe.seed, step)))

    # Batches are prepared while the network trains: OpenBLAS threads would wait for its cores, 100 ms per batch.
    with ThreadpoolController().select(internal_api="openblas").limit(limits=1), ThreadPoolExecutor(workers) as pool:
        pending = deque(pool.submit(draw, step) for step in range(first, min(first + workers, recipe.steps)))
        for step in range(first, recipe.steps):
            batch = pending.popleft().result()
            if step + workers < recipe.steps:
                pending.append(pool.submit(draw, step + workers))
            yield batch
