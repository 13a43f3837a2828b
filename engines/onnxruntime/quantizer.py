"""Static INT8 quantization by ONNX Runtime. Only this file imports the quantizer; only builds need it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BuildError, MissingDependencyError, UnknownNameError, first_line
from ..inputs import NO_INPUTS, Inputs, complete
from .session import OrtGraph

METHODS = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
"""Calibration method -> its name in ONNX Runtime. "minmax" takes the minimum and maximum of a tensor, "entropy" the
range that changes the distribution least (KL divergence), "percentile" the range of 99.999 % of the values."""


class _CalibrationReader:
    """ONNX Runtime's ``CalibrationDataReader``: returns one batch with its other inputs after another, then None."""

    def __init__(self, graph: OrtGraph, calls: Iterable[tuple[NDArray[np.uint8], Inputs]]) -> None:
        self._graph, self._calls = graph, iter(calls)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        call = next(self._calls, None)
        if call is None:
            return None
        batch, others = call
        return dict(zip(self._graph.inputs, (batch, *complete(self._graph.others, batch.shape, others)), strict=True))


def measured_ranges(
    source: Path,
    kinds: Sequence[str],
    batches: Sequence[NDArray[np.uint8]],
    method: str = "minmax",
    inputs: Sequence[Inputs] = (),
) -> dict[str, tuple[float, float]]:
    """Run a graph on calibration inputs and measure the range of its activations.

    Args:
        source: ONNX file in FP32, with fixed or symbolic shapes.
        kinds: operator types whose inputs and outputs are measured.
        batches: (N, H, W, 3) uint8 inputs, of any sizes.
        method: a key of `METHODS`.
        inputs: for each batch the other inputs of the graph; empty for zeros.

    Returns:
        Tensor name -> minimum and maximum of its range.

    Raises:
        UnknownNameError: no method of that name.
        MissingDependencyError: the quantizer or onnx, which it needs, is not installed.
        BuildError: it failed, or a tensor is not finite.
    """
    if method not in METHODS:
        raise UnknownNameError("calibration", method, METHODS)
    with _quantization() as quantization, TemporaryDirectory() as folder:
        calibrator = quantization.create_calibrator(
            _preprocessed(source, folder),
            list(kinds),
            str(Path(folder) / "augmented.onnx"),
            getattr(quantization.CalibrationMethod, METHODS[method]),
        )
        graph = OrtGraph(source)
        # one batch at a time for histograms: the calibrator holds every value of a collection in memory
        calls = list(zip(batches, inputs or [NO_INPUTS] * len(batches), strict=True))
        for part in [calls] if method == "minmax" else [[call] for call in calls]:
            calibrator.collect_data(_CalibrationReader(graph, part))
        measured = {name: data.range_value for name, data in calibrator.compute_data().items()}
    ranges = {name: (np.asarray(low).item(), np.asarray(high).item()) for name, (low, high) in sorted(measured.items())}
    not_finite = [name for name, limits in ranges.items() if not np.isfinite(limits).all()]
    if not_finite:
        raise BuildError(f"the values of {not_finite[0]} are not finite on the calibration inputs; check the weights")
    return ranges


def quantize_static(
    source: Path,
    target: Path,
    nodes: list[str],
    kinds: list[str],
    ranges: Mapping[str, tuple[float, float]],
    weight_bits: int = 7,
) -> None:
    """Insert QuantizeLinear and DequantizeLinear around the nodes of a graph, in the format for CPUs.

    Activations are unsigned, weights signed with a scale per output channel. Processors with AVX2 and without VNNI add
    two products in 16 bits, so 8-bit weights overflow: 7-bit weights cost 0.01 dB on IDRN ×4, the overflow 0.19 dB.

    Args:
        source: ONNX file in FP32, with fixed or symbolic shapes.
        target: file to write.
        nodes: names of the nodes to quantize; all others stay in FP32.
        kinds: operator types of these nodes.
        ranges: of all their tensors, see `measured_ranges`.
        weight_bits: 7, or 8 for processors with VNNI only.

    Raises:
        MissingDependencyError: the quantizer or onnx, which it needs, is not installed.
        BuildError: it failed.
    """
    with _quantization() as quantization, TemporaryDirectory() as folder:
        from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

        limits = {
            name: (np.array([low], np.float32), np.array([high], np.float32)) for name, (low, high) in ranges.items()
        }
        method = quantization.CalibrationMethod.MinMax  # takes the ranges unchanged
        quantizer = quantization.QDQQuantizer(
            load_model_with_shape_infer(_preprocessed(source, folder)),
            per_channel=True,
            reduce_range=weight_bits == 7,
            weight_qType=quantization.QuantType.QInt8,
            activation_qType=quantization.QuantType.QUInt8,
            tensors_range=quantization.calibrate.TensorsData(method, limits),
            nodes_to_quantize=nodes,
            nodes_to_exclude=[],
            op_types_to_quantize=kinds,
            extra_options={},
        )
        quantizer.quantize_model()
        quantizer.model.save_model_to_file(str(target), False)


def _preprocessed(source: Path, folder: str) -> Path:
    """The graph after shape inference, which the quantizer needs."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    path = Path(folder) / "preprocessed.onnx"
    quant_pre_process(str(source), str(path), skip_optimization=True, skip_symbolic_shape=True)
    return path


@contextmanager
def _quantization() -> Iterator[Any]:
    """The module ``onnxruntime.quantization``; its output is suppressed, its exceptions become a BuildError."""
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise MissingDependencyError(error.name or "onnx", "build", "INT8 quantization") from None
    try:
        with redirect_stdout(StringIO()):
            yield quantization
    except Exception as error:  # the quantizer's exceptions have no narrower common base
        raise BuildError(
            f"ONNX Runtime cannot quantize the network: {first_line(error)}; build with --fp16 or --fp32"
        ) from error
