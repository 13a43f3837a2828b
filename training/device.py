"""Training devices, and moving batches to them."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..engines.errors import UsageError

CPU = torch.device("cpu")


def parse_device(name: str) -> torch.device:
    """Parse "cpu", "cuda" or "cuda:NUMBER".

    Raises:
        UsageError: the name is not a device, or PyTorch has no such GPU.
    """
    if name == "cpu":
        return CPU
    gpu = re.fullmatch("cuda(?::([0-9]+))?", name)
    if not gpu:
        raise UsageError(f"unknown device '{name}'; give cpu, cuda, or cuda:NUMBER")
    if int(gpu[1] or 0) >= torch.cuda.device_count():
        raise UsageError(f"no device {name}: PyTorch finds {torch.cuda.device_count()} CUDA GPUs; train on cpu")
    return torch.device(name)


def to_device(batch: Any, device: torch.device) -> Any:
    """Move every tensor of a batch, a dataclass of tensors and nested dataclasses, to a device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if not is_dataclass(batch) or isinstance(batch, type):
        return batch
    return replace(batch, **{f.name: to_device(getattr(batch, f.name), device) for f in fields(batch)})
