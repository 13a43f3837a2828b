"""Where a network learns, and batches on their way there."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..engines.errors import UsageError

CPU = torch.device("cpu")


def device_named(name: str) -> torch.device:
    """The device that a network is trained on.

    Raises:
        UsageError: it is neither "cpu" nor a GPU that PyTorch sees.
    """
    if name == "cpu":
        return CPU
    gpu = re.fullmatch("cuda(?::([0-9]+))?", name)
    if not gpu:
        raise UsageError(f"there is no device '{name}'; it is cpu, cuda, or cuda:NUMBER")
    if int(gpu[1] or 0) >= torch.cuda.device_count():
        raise UsageError(f"PyTorch sees {torch.cuda.device_count()} CUDA GPUs, so there is no {name}; train on cpu")
    return torch.device(name)


def moved(batch: Any, device: torch.device) -> Any:
    """A batch, a dataclass of tensors and of other such, with every tensor on a device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if not is_dataclass(batch) or isinstance(batch, type):
        return batch
    return replace(batch, **{f.name: moved(getattr(batch, f.name), device) for f in fields(batch)})
