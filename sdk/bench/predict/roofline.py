"""Roofline model of a GPU: a kernel takes the longer of computing and moving memory, plus a fixed number of cycles.

Computing: whole tiles of the output on whole waves of multiprocessors, with channels padded to what tensor cores take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....converters.kernels import Kernel
from .devices import MACS_PER_CYCLE, Device

Array = NDArray[np.float64]
TILES = ((256, 128), (128, 256), (128, 128), (256, 64), (128, 64), (64, 128), (64, 64), (128, 32), (64, 32), (32, 32))
"""Rows and channels that a multiprocessor computes at once, of the kernels that TensorRT chooses from."""
CHANNEL_MULTIPLE = {"fp32": 1, "fp16": 8, "int8": 32}
"""Input channels are padded to multiples of this."""


@dataclass(frozen=True)
class Coefficients:
    """What data sheets do not tell; see `fit`.

    Args:
        efficiency: share of the peak that the inner loop of a convolution reaches.
        bandwidth_efficiency: share of the memory bandwidth.
        cache_megabytes: of a kernel's traffic, served by the cache of a Blackwell GPU; Ampere's on Orin is too small.
        launch_kcycles: start and end of a kernel, in 10³ GPU cycles.
        tile_cycles: filling and draining a tile, in GPU cycles of a multiprocessor per output element.
        host_ms_ghz: of a call from Python, in ms times GHz of the CPU; only in measurements that contain it.
    """

    efficiency: float
    bandwidth_efficiency: float
    cache_megabytes: float
    launch_kcycles: float
    tile_cycles: float
    host_ms_ghz: float


COEFFICIENTS = Coefficients(0.724, 0.482, 14.35, 10.2, 0.531, 0.277)
"""Fitted to ANCHORS; a test repeats the fit."""


@dataclass(frozen=True, eq=False)
class Work:
    """What kernels ask of a device, independent of the coefficients; (N,) float64 arrays, one value a kernel.

    Args:
        tiles: output elements of a multiprocessor, in whole tiles and waves.
        depth: padded multiply-adds per output element; 0 for kernels that only memory limits.
        mac_ms: time of a multiply-add of a multiprocessor at peak.
        is_blackwell: 1 or 0.
        megabytes: moved.
        megabyte_ms: time of moving 10⁶ bytes at the full memory bandwidth.
        kcycle_ms: time of 10³ GPU cycles.
    """

    tiles: Array
    depth: Array
    mac_ms: Array
    is_blackwell: Array
    megabytes: Array
    megabyte_ms: Array
    kcycle_ms: Array

    def times_ms(self, c: Coefficients) -> Array:
        """Predicted time of each kernel, (N,)."""
        per_element = self.depth * self.mac_ms / c.efficiency + c.tile_cycles * self.kcycle_ms / 1e3
        computing = np.where(self.depth, self.tiles * per_element, 0)
        uncached = np.maximum(self.megabytes - c.cache_megabytes * self.is_blackwell, 0)
        longer: Array = np.maximum(computing, uncached * self.megabyte_ms / c.bandwidth_efficiency)
        return longer + c.launch_kcycles * self.kcycle_ms


def work_of(kernels: Sequence[Kernel], device: Device) -> Work:
    """What `kernels` ask of `device`."""
    rows, channels, depth, inputs, traffic = np.array(
        [(k.rows, k.channels, 0 if k.depthwise else k.depth, k.inputs, k.bytes) for k in kernels], float
    ).T.reshape(5, -1)
    multiple = np.array([CHANNEL_MULTIPLE[k.precision] for k in kernels], float)
    rate = np.array([MACS_PER_CYCLE[device.architecture][k.precision] for k in kernels], float)
    padded = np.ceil(inputs / multiple) * multiple * depth / np.maximum(inputs, 1)
    waves = [np.ceil(np.ceil(rows / m) * np.ceil(channels / n) / device.multiprocessors) * m * n for m, n in TILES]
    ones = np.ones(len(kernels))
    return Work(
        np.min(waves, axis=0),
        padded,
        1e-6 / (rate * device.gpu_ghz),
        ones * (device.architecture == "blackwell"),
        traffic / 1e6,
        ones / device.bandwidth_gbs,
        ones * 1e-3 / device.gpu_ghz,
    )


def latency_ms(kernels: Sequence[Kernel], device: Device, coefficients: Coefficients = COEFFICIENTS) -> float:
    """Predicted GPU time of a call that launches `kernels` one after the other."""
    return float(work_of(kernels, device).times_ms(coefficients).sum())
