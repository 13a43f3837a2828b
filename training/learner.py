"""A network that learns: weights, their moving average, the optimiser, and the checkpoint that keeps them all."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..engines.errors import OutputError, TrainingError
from ..networks import build_network
from .device import moved
from .fewer_bits import roundings
from .fitting import fitting
from .optimiser import Optimiser
from .recipe import Recipe
from .task import Learning, Task


class Learner:
    """All that changes while a network learns, and that a checkpoint keeps."""

    def __init__(self, recipe: Recipe, task: Task, start: Mapping[str, Tensor] | None, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.task, self.device = recipe, task, device
        self.network = build_network(recipe.network, recipe.config)
        if start is not None:
            self.network.load_state_dict({**self.network.state_dict(), **fitting(self.network, start, recipe)})
        if recipe.int8:
            roundings(self.network)
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub misses it
        task.to(device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.done = 0
        self.running: Tensor | None = None
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
        if isinstance(self.task, Learning):
            self.task.load_state_dict(state.get("task", {}))
        self.done = int(state["step"])
        return self.done
