"""Weights kept in 16 bits, where that costs next to nothing: half the file, and what a wheel packs well."""

from __future__ import annotations

import math
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...calibration.data.faces import low_resolution, padded
from ...calibration.metrics.evaluate import centres
from ...calibration.metrics.image import mean_db, psnr_y
from .wrapper import Uint8SRWrapper

MAX_LOSS_DB = 0.01
"""By how much weights in 16 bits may make faces worse, in dB on the luma."""
FACES = 32


def half_weights(
    network: nn.Module, scale: int, faces: list[NDArray[np.uint8]], smooth: float = 0.0
) -> tuple[nn.Module, float]:
    """Round a network's weights to 16 bits and see what that costs.

    Args:
        network: super-resolution, FP32.
        scale: its enlargement.
        faces: true faces, at least 128×128; the first 32 are measured on.
        smooth: of the projection, see `Uint8SRWrapper`.

    Returns:
        A copy whose weights are those that FP16 can hold, still FP32 in type, and the cost in dB; without end where one
        of them is too large for it.
    """
    rounded = deepcopy(network)
    for tensor in rounded.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
    if not all(tensor.isfinite().all() for tensor in rounded.state_dict().values()):
        return rounded, math.inf
    hr = centres(faces[:FACES], scale)
    lr = padded(low_resolution(hr, scale), int(getattr(network, "multiple", 1)))
    with torch.inference_mode():
        before, after = (_quality(Uint8SRWrapper(one, scale, smooth=smooth), lr, hr) for one in (network, rounded))
    return rounded, before - after


def _quality(network: Uint8SRWrapper, lr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> float:
    side = hr.shape[1]
    parts = np.array_split(lr, -(-len(lr) // 8))
    sr = np.concatenate([network(torch.from_numpy(part)).numpy() for part in parts])
    return mean_db(psnr_y(sr[:, :side, :side], hr))
