"""ONNX Runtime's own quantiser: the one file that imports it; only building needs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BuildError, MissingDependencyError, UnknownNameError
from .session import OrtGraph, absent

METHODS = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
"""How a tensor's range follows from its values -> the quantiser's name for it: their least and largest; the range that
changes their distribution least; what 99.999 % of them stay within."""


class _Samples:
    """What the quantiser asks for its inputs: one after another, then none; references are absent."""

    def __init__(self, inputs: Sequence[Any], batches: Iterable[NDArray[np.uint8]]) -> None:
        self._inputs, self._batches = inputs, iter(batches)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        batch = next(self._batches, None)
        if batch is None:
            return None
        pixels, *references = self._inputs
        return {pixels.name: batch, **absent(references, len(batch))}


def measured_ranges(
    source: Path, kinds: Sequence[str], batches: Sequence[NDArray[np.uint8]], method: str = "minmax"
) -> dict[str, tuple[float, float]]:
    """Run a graph and see between which values its tensors lie.

    Args:
        source: ONNX file in FP32, its shapes open or not.
        kinds: operators whose inputs and outputs are measured.
        batches: (N, H, W, 3) uint8 inputs, of any sizes.
        method: a key of `METHODS`.

    Returns:
        Tensor -> lower and upper end of its range.

    Raises:
        UnknownNameError: no method of that name.
        MissingDependencyError: the quantiser or onnx, which it needs, is not installed.
        BuildError: it failed, or a tensor overflows.
    """
    if method not in METHODS:
        raise UnknownNameError("calibration", method, METHODS)
    with _quantiser() as quantization, TemporaryDirectory() as workshop:
        calibrator = quantization.create_calibrator(
            _prepared(source, workshop),
            list(kinds),
            str(Path(workshop) / "augmented.onnx"),
            getattr(quantization.CalibrationMethod, METHODS[method]),
        )
        inputs = list(OrtGraph(source).inputs.values())
        for part in [batches] if method == "minmax" else [[batch] for batch in batches]:  # histograms hold every value
            calibrator.collect_data(_Samples(inputs, part))
        found = {name: data.range_value for name, data in calibrator.compute_data().items()}
    ranges = {name: (np.asarray(low).item(), np.asarray(high).item()) for name, (low, high) in sorted(found.items())}
    odd = [name for name, ends in ranges.items() if not np.isfinite(ends).all()]
    if odd:
        raise BuildError(f"the values of {odd[0]} are not finite on the calibration's inputs; check the weights")
    return ranges


def quantize_static(
    source: Path, target: Path, nodes: list[str], kinds: list[str], ranges: Mapping[str, tuple[float, float]]
) -> None:
    """Put QuantizeLinear and DequantizeLinear round the nodes of a graph, as CPUs want them.

    Activations are unsigned, weights signed with a scale for each output channel, in -64..64: where a CPU sums two
    products in 16 bits (AVX2 without VNNI), larger ones overflow. On IDRN ×4 they cost 0.01 dB, the overflow 0.19 dB.

    Args:
        source: ONNX file in FP32, its shapes open or not.
        target: file to write.
        nodes: names of the nodes whose arithmetic becomes INT8; the others stay as they are.
        kinds: operators of these nodes.
        ranges: of all their tensors, see `measured_ranges`.

    Raises:
        MissingDependencyError: the quantiser or onnx, which it needs, is not installed.
        BuildError: it failed.
    """
    with _quantiser() as quantization, TemporaryDirectory() as workshop:
        from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

        ends = {
            name: (np.array([low], np.float32), np.array([high], np.float32)) for name, (low, high) in ranges.items()
        }
        method = quantization.CalibrationMethod.MinMax  # of those that take ranges as they are
        quantizer = quantization.QDQQuantizer(
            load_model_with_shape_infer(_prepared(source, workshop)),
            per_channel=True,
            reduce_range=True,
            weight_qType=quantization.QuantType.QInt8,
            activation_qType=quantization.QuantType.QUInt8,
            tensors_range=quantization.calibrate.TensorsData(method, ends),
            nodes_to_quantize=nodes,
            nodes_to_exclude=[],
            op_types_to_quantize=kinds,
            extra_options={},
        )
        quantizer.quantize_model()
        quantizer.model.save_model_to_file(str(target), False)


def _prepared(source: Path, workshop: str) -> Path:
    """The graph with the types of all its tensors, which the quantiser needs."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = Path(workshop) / "prepared.onnx"
    quant_pre_process(str(source), str(prepared), skip_optimization=True, skip_symbolic_shape=True)
    return prepared


@contextmanager
def _quantiser() -> Iterator[Any]:
    """The quantiser's module; what it prints is dropped, what it raises becomes one line."""
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise MissingDependencyError(error.name or "onnx", "build", "quantising to INT8") from None
    try:
        with redirect_stdout(StringIO()):
            yield quantization
    except Exception as error:  # the quantiser's own exceptions share no narrower parent
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise BuildError(f"ONNX Runtime cannot quantise the network: {reason}; build with --fp16 or --fp32") from error
