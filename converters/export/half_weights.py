"""FP16 storage of weights, used if the loss is negligible: halves the file and compresses better in a wheel."""

from __future__ import annotations

import math
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...calibration.data.faces import low_resolution, padded
from ...calibration.metrics.evaluate import center_crops
from ...calibration.metrics.image import mean_db, psnr_y
from ...engines.bundle.io_spec import IOSpec
from ...engines.bundle.projection import FULL, Projection
from .wrapper import Uint8SRWrapper

MAX_LOSS_DB = 0.01
"""Largest accepted loss of luma PSNR by FP16 weights, in dB."""
FACES = 32


def half_weights(
    network: nn.Module, io_spec: IOSpec, faces: list[NDArray[np.uint8]], projected: Projection = FULL
) -> tuple[nn.Module, float]:
    """Round the weights of a network to FP16 and measure the loss.

    Args:
        network, projected: super-resolution network in FP32, see `Uint8SRWrapper`.
        io_spec: its input and output specification.
        faces: ground-truth faces, at least 128×128; the first 32 are used.

    Returns:
        A copy whose FP32 weights are representable in FP16, and the loss in dB; infinite if a weight overflows.
    """
    rounded = deepcopy(network)
    for tensor in rounded.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
    if not all(tensor.isfinite().all() for tensor in rounded.state_dict().values()):
        return rounded, math.inf
    scale = io_spec.scale
    hr = center_crops(faces[:FACES], scale, io_spec.crop_sizes)
    lr = padded(low_resolution(hr, scale), int(getattr(network, "multiple", 1)))
    with torch.inference_mode():
        before, after = (_psnr_y(Uint8SRWrapper(one, scale, projected=projected), lr, hr) for one in (network, rounded))
    return rounded, before - after


def _psnr_y(network: Uint8SRWrapper, lr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> float:
    side = hr.shape[1]
    batches = np.array_split(lr, -(-len(lr) // 8))
    sr = np.concatenate([network(torch.from_numpy(batch))[0].numpy() for batch in batches])
    return mean_db(psnr_y(sr[:, :side, :side], hr))
