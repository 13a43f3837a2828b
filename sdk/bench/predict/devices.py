"""Jetson modules in a power mode: the figures of their data sheets that the roofline model needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ....converters.kernels import Precision
from ....engines.errors import UnknownNameError

Architecture = Literal["ampere", "blackwell"]
MACS_PER_CYCLE: dict[Architecture, dict[Precision, int]] = {
    "ampere": {"fp32": 128, "fp16": 1024, "int8": 2048},
    "blackwell": {"fp32": 128, "fp16": 4096, "int8": 8192},
}
"""Dense multiply-adds of a streaming multiprocessor in a cycle: on tensor cores, FP32 on CUDA cores (TF32 is off).
Times multiprocessors and clock they give NVIDIA's peak figures: AGX Orin's GPU 85 TOPS, Thor 517 TOPS, dense INT8."""


@dataclass(frozen=True)
class Device:
    """A module in a power mode.

    Args:
        name: on the command line.
        title: of the table.
        multiprocessors: of the GPU that are powered.
        gpu_ghz: maximum GPU clock.
        bandwidth_gbs: memory bandwidth, shared with the CPU.
        cpu_ghz: maximum CPU clock; for the anchors only, which contain host time.
        architecture: key of `MACS_PER_CYCLE`.
    """

    name: str
    title: str
    multiprocessors: int
    gpu_ghz: float
    bandwidth_gbs: float
    cpu_ghz: float
    architecture: Architecture = "ampere"

    def peak_tmacs(self, precision: Precision) -> float:
        """Peak multiply-adds per second, in 10¹²."""
        return self.multiprocessors * self.gpu_ghz * MACS_PER_CYCLE[self.architecture][precision] / 1e3


DEVICES: dict[str, Device] = {
    device.name: device
    for device in (
        Device("orin-nano-15w", "Orin Nano 8 GB, 15W", 8, 0.625, 68.0, 1.5),
        Device("orin-nano-25w", "Orin Nano 8 GB, 25W", 8, 0.918, 102.4, 1.34),
        Device("orin-nano-super", "Orin Nano 8 GB, MAXN_SUPER", 8, 1.02, 102.4, 1.7),
        Device("orin-nx", "Orin NX 16 GB, MAXN", 8, 0.918, 102.4, 2.0),
        Device("agx-orin", "AGX Orin 64 GB, MAXN", 16, 1.3, 204.8, 2.2),
        Device("agx-thor", "AGX Thor, MAXN", 20, 1.57, 273.0, 2.6, "blackwell"),
    )
}
"""By name. Sources of the figures: docs/jetson.md."""


def find_device(name: str) -> Device:
    """Device of a name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in DEVICES:
        raise UnknownNameError("device", name, DEVICES)
    return DEVICES[name]
