"""FP16 storage of weights, used if the loss is negligible: halves the file and compresses better in a wheel."""

from __future__ import annotations

import math
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...calibration.data.faces import low_resolution, padded
from ...calibration.data.tracks import moved_tracks
from ...calibration.metrics.evaluate import center_crops
from ...calibration.metrics.image import mean_db, psnr_y
from ...engines.bundle.io_spec import IOSpec
from ...engines.bundle.projection import FULL, Projection
from ...engines.inputs import NO_INPUTS, Inputs, rows_of
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
    several = io_spec.frames > 1
    others = moved_tracks(hr, scale, io_spec.frames).inputs(io_spec.frames) if several else NO_INPUTS
    with torch.inference_mode():
        before, after = (
            _psnr_y(Uint8SRWrapper(one, scale, projected=projected), lr, hr, others) for one in (network, rounded)
        )
    return rounded, before - after


def _psnr_y(network: Uint8SRWrapper, lr: NDArray[np.uint8], hr: NDArray[np.uint8], others: Inputs) -> float:
    side, parts = hr.shape[1], []
    for start in range(0, len(lr), 8):
        rows = slice(start, start + 8)
        inputs = {name: torch.from_numpy(part) for name, part in rows_of(others, rows).items()}
        parts.append(network(torch.from_numpy(lr[rows]), **inputs)[0].numpy())
    sr = np.concatenate(parts)
    return mean_db(psnr_y(sr[:, :side, :side], hr))
