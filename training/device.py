"""Training devices: their names, moving batches to them, and denormal numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def denormals_are_zero() -> Iterator[None]:
    """Compute with denormal numbers as zero in this thread; CPUs that cannot do it go on without.

    Momenta of channels that never fire decay to denormal numbers, with which Muon took three times as long per step.
    """
    before = not float(torch.full((), 1e-40) * 1.0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def to_device(batch: Any, device: torch.device) -> Any:
    """Move every tensor of a batch, a dataclass of tensors and nested dataclasses, to a device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if not is_dataclass(batch) or isinstance(batch, type):
        return batch
    return replace(batch, **{f.name: to_device(getattr(batch, f.name), device) for f in fields(batch)})
