"""The tensors in checkpoints of training frameworks: where they are, how they are named, and which are weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

CONTAINERS = (
    *("params_ema", "ema_state_dict", "state_dict_ema", "model_ema", "ema_model", "g_ema", "ema", "shadow"),
    *("params", "state_dict", "model_state_dict", "model", "generator", "net_g", "netG", "network", "net", "module"),
)
"""Keys of a state dict in a checkpoint, e.g. of BasicSR, Lightning or DeepSpeed; moving averages are preferred."""
PREFIXES = ("ema_model.", "ema.", "module.", "model.", "generator.", "net_g.", "netG.", "network.", "net.")
"""What wrappers prepend to the names of the network's tensors: DataParallel, Lightning, averaged models."""
COMPILED = "_orig_mod."
"""What `torch.compile` inserts into names, wherever a module was compiled."""
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
COUNTERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
"""Types of tensors without dimensions, such as the number of batches of a normalization layer."""
MAX_DEPTH = 8


def find_state_dict(content: object, depth: int = MAX_DEPTH) -> dict[str, Tensor] | None:
    """The state dict in a checkpoint, or the checkpoint if it is one; None if there is none within `depth` levels."""
    if not isinstance(content, Mapping) or not content or not depth:
        return None
    if all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()):
        return dict(content)
    found = (find_state_dict(content[key], depth - 1) for key in CONTAINERS if key in content)
    return next((one for one in found if one), None)


def unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the network under the names that it gives them.

    Args:
        tensors: name -> values, as saved from the network or from wrappers of it; of a discriminator or loss beside it
            nothing is kept.
    """
    result = {name.replace(COMPILED, ""): value for name, value in tensors.items()}
    while prefix := next((one for one in PREFIXES if any(name.startswith(one) for name in result)), ""):
        result = {name[len(prefix) :]: value for name, value in result.items() if name.startswith(prefix)}
    return result


def unsupported(tensors: Mapping[str, Tensor]) -> str:
    """The first tensor that holds no weights, and why, for a message; "" if all do."""
    for name, value in tensors.items():
        kind = _kind(value)
        if kind:
            return f"{name} is {kind}"
    return ""


def _kind(value: Tensor) -> str:
    if value.is_nested or value.layout != torch.strided:
        return "nested" if value.is_nested else "sparse"
    if value.is_quantized or value.is_meta:
        return "quantized" if value.is_quantized else "without values"
    allowed = FLOATS if value.ndim else (*FLOATS, *COUNTERS)
    return "" if value.dtype in allowed else str(value.dtype).removeprefix("torch.")
