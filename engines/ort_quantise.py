"""ONNX Runtime's own quantiser: the one file that imports it; only building needs it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import BuildError, MissingDependencyError


@dataclass(frozen=True)
class Dialect:
    """What a runtime wants of an INT8 graph.

    Args:
        symmetric: activations round zero, so that their zero point is the middle of the range.
        seven_bit_weights: weights in -64..64: where a CPU sums two products in 16 bits (AVX2 without VNNI), larger ones
            overflow. On IDRN ×4 they cost 0.01 dB, the overflow 0.19 dB.
    """

    symmetric: bool
    seven_bit_weights: bool


DIALECTS = {"cpu": Dialect(symmetric=False, seven_bit_weights=True)}
"""Kind of device -> its dialect."""


class _Samples:
    """What the quantiser asks for its inputs: one after another, then none."""

    def __init__(self, name: str, batches: Iterable[NDArray[np.uint8]]) -> None:
        self._name, self._batches = name, iter(batches)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {self._name: batch}


def quantise(
    source: Path,
    target: Path,
    nodes: list[str],
    kinds: list[str],
    batches: Iterable[NDArray[np.uint8]],
    dialect: Dialect = DIALECTS["cpu"],
) -> None:
    """Put QuantizeLinear and DequantizeLinear round the nodes of a graph: static ranges (least and largest value seen),
    unsigned activations, signed weights with a scale for each output channel.

    Args:
        source: ONNX file in FP32, its shapes open or not.
        target: file to write.
        nodes: names of the nodes whose arithmetic becomes INT8; the others stay as they are.
        kinds: operators of these nodes.
        batches: (N, H, W, 3) uint8 inputs that show the ranges, of any sizes.
        dialect: what the runtime wants.

    Raises:
        MissingDependencyError: the quantiser or onnx, which it needs, is not installed.
        BuildError: it failed.
    """
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingDependencyError(error.name or "onnx", "build", "quantising to INT8") from None
    options: dict[str, Any] = {"ActivationSymmetric": dialect.symmetric}
    with TemporaryDirectory() as workshop:
        prepared = Path(workshop) / "prepared.onnx"
        try:
            quant_pre_process(str(source), str(prepared), skip_optimization=True, skip_symbolic_shape=True)
            quantization.quantize_static(
                str(prepared),
                str(target),
                _Samples("pixels", batches),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=kinds,
                nodes_to_quantize=nodes,
                per_channel=True,
                reduce_range=dialect.seven_bit_weights,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod.MinMax,
                extra_options=options,
            )
        except Exception as error:  # the quantiser's own exceptions share no narrower parent
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise BuildError(
                f"ONNX Runtime cannot quantise the network: {reason}; build with --fp16 or --fp32"
            ) from error
