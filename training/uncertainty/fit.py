"""Quantile regression of the uncertainty head: the pinball loss on samples, resumable."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...engines.errors import TrainingError
from ...engines.files import atomic_file
from ...networks.layers.pixels import to_rgb
from ...networks.uncertainty import Uncertainty, pinball
from .samples import Samples

QUANTILE = 0.9
"""Share of the pixels that are to lie within their interval."""
SAVE_EVERY = 500
"""Steps from one checkpoint and report to the next."""
EMA = 0.998


@dataclass(frozen=True)
class FitOptions:
    """How the head is trained.

    Args:
        width, depth: of the network.
        steps: of Adam, with cosine decay.
        batch: samples of a step.
        lr: peak learning rate.
        seed: of weights and batches.
    """

    width: int = 24
    depth: int = 3
    steps: int = 4_000
    batch: int = 12
    lr: float = 2e-3
    seed: int = 0


def fit(samples: Samples, options: FitOptions, checkpoint: Path, report: Callable[[int, float], None]) -> Uncertainty:
    """Train to the last step, from a checkpoint if there is one.

    Args:
        samples: see `write_samples`.
        options: of the training.
        checkpoint: file of the state; replaced every `SAVE_EVERY` steps and at the end.
        report: called with step and mean loss since the last report, gray levels.

    Returns:
        The moving average of the network.

    Raises:
        TrainingError: the checkpoint belongs to other options.
    """
    torch.manual_seed(options.seed)
    network = Uncertainty(options.width, options.depth)
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), options.lr, betas=(0.9, 0.99))
    start = _resume(checkpoint, options, network, average, optimizer)
    total = 0.0
    for step in range(start, options.steps):
        optimizer.param_groups[0]["lr"] = options.lr * _rate(step, options.steps)
        loss = _loss(network, samples, options, step)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            for mean, value in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(value, 1 - min(EMA, (step + 1) / (step + 10)))
        total += loss.item()
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == options.steps:
            _save(checkpoint, options, step + 1, network, average, optimizer)
            report(step + 1, total / ((step % SAVE_EVERY) + 1))
            total = 0.0
    return average.eval()


def _rate(step: int, steps: int) -> float:
    """Share of the peak learning rate: a warm-up of at most 200 steps, then half a cosine."""
    return min(1.0, (step + 1) / min(200, 1 + steps // 10)) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def _loss(network: Uncertainty, samples: Samples, options: FitOptions, step: int) -> Tensor:
    rng = np.random.default_rng((options.seed, step))
    chosen = np.sort(rng.integers(len(samples.rows), size=options.batch))
    rows = samples.rows[chosen]
    crop = to_rgb(torch.from_numpy(samples.low[rows]))
    upscaled, truth = (
        torch.from_numpy(array).float()[:, None] for array in (samples.upscaled[chosen], samples.truth[rows])
    )
    return pinball((truth - upscaled).abs(), network.map(crop, upscaled / 255), QUANTILE)


def _save(
    path: Path, options: FitOptions, step: int, network: nn.Module, average: nn.Module, optimizer: torch.optim.Adam
) -> None:
    state = {"network": network.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
    with atomic_file(path) as file:
        torch.save({"options": asdict(options), "step": step, **state}, file)


def _resume(
    path: Path, options: FitOptions, network: nn.Module, average: nn.Module, optimizer: torch.optim.Adam
) -> int:
    """Load a checkpoint if it exists; returns the number of steps done."""
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["options"] != asdict(options):
        raise TrainingError(f"{path} belongs to another training; give another file, or delete it to start over")
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


GAIN_SAMPLES = 4_000
GAIN_STEPS = 3_000


def fit_gain(network: Uncertainty, samples: Samples, seed: int, report: Callable[[str], None]) -> None:
    """Train the gain of a head whose map is trained, in place.

    Its target is the logarithm of the factor by which the map of a crop has to be multiplied to cover `QUANTILE` of its
    errors; the loss is the squared difference.

    Args:
        network: trained head.
        samples: see `write_samples`; `GAIN_SAMPLES` of them are used.
        seed: of the choice of the samples and the weights.
        report: called with a line.
    """
    torch.manual_seed(seed)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(samples.rows))[:GAIN_SAMPLES])
    parts = [_gain_sample(network, samples, chosen[n : n + 32]) for n in range(0, len(chosen), 32)]
    statistics, target = (torch.cat(values) for values in zip(*parts, strict=True))
    held = torch.arange(len(target)) % 8 == 0
    mean, deviation = statistics.mean(0), statistics.std(0) + 1e-3
    gain = network.gain.requires_grad_(True)
    nn.init.normal_(gain.out.weight, std=0.1)
    optimizer = torch.optim.AdamW(gain.parameters(), 3e-3, weight_decay=0.1)
    standard = (statistics - mean) / deviation
    for step in range(GAIN_STEPS):
        optimizer.param_groups[0]["lr"] = 3e-3 * _rate(step, GAIN_STEPS)
        loss = (torch.log(gain(standard[~held]))[:, 0, 0, 0] - target[~held]).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        errors = torch.log(gain(standard))[:, 0, 0, 0] - target
        explained = [1 - float(errors[part].var() / target[part].var()) for part in (~held, held)]
        gain.hidden.weight.div_(deviation)
        gain.hidden.bias.sub_(gain.hidden.weight @ mean)
    gain.requires_grad_(False)
    report(f"gain: R² {explained[0]:.3f}, {explained[1]:.3f} on samples that were left out")


@torch.no_grad()
def _gain_sample(network: Uncertainty, samples: Samples, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Statistics and target of some samples."""
    rows = samples.rows[chosen]
    crop = to_rgb(torch.from_numpy(samples.low[rows]))
    upscaled, truth = (
        torch.from_numpy(one).float()[:, None] for one in (samples.upscaled[chosen], samples.truth[rows])
    )
    # uint8 luma has no fractions: without noise, the errors of half of the pixels of a flat crop would be 0
    error = (truth - upscaled + torch.rand_like(truth) - 0.5).abs()
    factor = torch.quantile((error / network.map(crop, upscaled / 255)).flatten(1), QUANTILE, dim=1)
    return network.gain.statistics(crop, upscaled / 255), torch.log(factor)
