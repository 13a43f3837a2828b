"""The network of a bundle in PyTorch, for comparisons: as a function of pixels, and alone as an ONNX graph."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..engines.bundle.bundle import Bundle
from ..engines.bundle.projection import FULL
from ..engines.errors import BuildError, first_line
from ..networks.weights import bundle_weights, network_from
from .export.onnx import simplify, trace
from .export.wrapper import SubPixelResidual, Uint8SRWrapper


def torch_call(
    bundle: Bundle, threads: int = 0, *, compiled: bool = False
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Super-resolution in PyTorch on the CPU, in FP32.

    Args:
        bundle: of a network that takes no references.
        threads: of PyTorch in this process; 0 for one per core.
        compiled: by `torch.compile`, which needs a C++ compiler.

    Returns:
        Function of (N, S, S, 3) uint8 BGR crops, the same as the bundle's graph.

    Raises:
        BuildError: the network cannot be compiled; raised by the first call.
    """
    torch.set_num_threads(threads or os.cpu_count() or 1)
    module: Callable[[Tensor], tuple[Tensor, Tensor]] = _wrapped(bundle)
    if compiled:
        module = torch.compile(module, dynamic=False)

    def run(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with torch.inference_mode():
            try:
                return np.asarray(module(torch.from_numpy(crops))[0].numpy(), np.uint8)
            except Exception as error:  # the compiler's exceptions have no narrower common base
                raise BuildError(f"PyTorch {torch.__version__} failed: {first_line(error)}") from error

    return run


class _Network(nn.Module):
    """The network without its wrapper: its residual if it computes one."""

    def __init__(self, network: nn.Module, scale: int) -> None:
        super().__init__()
        self.network, self.scale = network.eval(), scale

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, 3, k·S, k·S)."""
        if isinstance(self.network, SubPixelResidual):
            return F.pixel_shuffle(self.network.sub_pixels(x), self.scale)
        output: Tensor = self.network(x)
        return output


def export_network(bundle: Bundle, side: int, path: Path) -> None:
    """Write the network alone as an ONNX file: float planes (N, 3, side, side) in 0..1 to the network's output.

    Raises:
        BuildError: the network cannot be exported.
    """
    example = torch.zeros((2, 3, side, side))
    batch: dict[int, Any] = {0: torch.export.Dim("batch", min=1, max=64)}
    network = _Network(_network(bundle), bundle.card.io_spec.scale)
    onnx.save(simplify(trace(network, (example,), ["planes"], ["output"], (batch,))), path)


def _wrapped(bundle: Bundle) -> Uint8SRWrapper:
    card = bundle.card
    return Uint8SRWrapper(_network(bundle), card.io_spec.scale, projected=card.projection or FULL)


def _network(bundle: Bundle) -> nn.Module:
    return network_from(bundle_weights(bundle), bundle.card.network, bundle.card.config)
