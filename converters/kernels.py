"""GPU kernels of a network, as a roofline model sees them: multiply-adds and bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Precision = Literal["fp32", "fp16", "int8"]
BYTES: dict[Precision, int] = {"fp32": 4, "fp16": 2, "int8": 1}
"""Of an element."""


@dataclass(frozen=True)
class Kernel:
    """One kernel launch; with `depth` 0 it computes no convolution or matrix product, but moves memory.

    Args:
        name: of its first operator.
        rows: output positions of all images, rows of the equivalent matrix product.
        channels: output channels.
        depth: multiply-adds per output element: input channels per group times kernel size.
        inputs: input channels per group.
        groups: of a grouped convolution, otherwise 1.
        precision: of the arithmetic.
        weights: of the convolution, elements.
        traffic: bytes of activations read and written.
    """

    name: str
    rows: int
    channels: int
    depth: int
    inputs: int
    groups: int
    precision: Precision
    weights: int
    traffic: int

    @property
    def macs(self) -> int:
        """Multiply-adds."""
        return self.rows * self.channels * self.depth

    @property
    def depthwise(self) -> bool:
        """Whether its groups are too narrow for tensor cores."""
        return self.groups > 1

    @property
    def bytes(self) -> int:
        """Bytes moved, weights included."""
        return self.traffic + self.weights * BYTES[self.precision]

    def batched(self, batch: int) -> Kernel:
        """The same kernel for `batch` images instead of one."""
        return replace(self, rows=self.rows * batch, traffic=self.traffic * batch)


def memory_kernel(name: str, traffic: int) -> Kernel:
    """A kernel without multiply-adds that moves `traffic` bytes."""
    return Kernel(name, 0, 0, 0, 0, 1, "fp16", 0, traffic)
