"""Post-training quantization to FP16 and INT8, limited by an accuracy check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from ...calibration.accuracy import AccuracyCheck, calibration_warning
from ...calibration.ranges import Ranges, activation_ranges, calibration_hash
from ...calibration.timing import median_ms
from ...engines.bundle.bundle import FP16_ONNX, Bundle
from ...engines.bundle.card import Evaluation
from ...engines.errors import ParityError
from ...engines.inputs import Inputs
from ...engines.onnxruntime.quantizer import measured_ranges
from ...engines.onnxruntime.session import OrtSession
from ..export.convert import ExportTarget, Report, export_for_gpu, verify
from ..export.storage import expanded
from .layers import KINDS, excluded_nodes
from .qdq import transfer_ranges
from .search import QdqFormat, QuantizationSource, SearchResult, accuracy_error, search, write_int8


@dataclass(frozen=True)
class QuantizedNetwork:
    """Result of `quantize`, for the card.

    Args:
        bundle: the graph; for INT8 for TensorRT with the FP16 graph.
        parity: metrics of each conversion step.
        evaluation: comparison with FP32; None without an accuracy check.
        notes: messages for users of the bundle.
        calibration: SHA-256 of the INT8 calibration inputs; "" for other precisions.
    """

    bundle: Bundle
    parity: dict[str, float]
    evaluation: Evaluation | None = None
    notes: tuple[str, ...] = ()
    calibration: str = ""


def quantize(
    target: ExportTarget,
    check: AccuracyCheck | None,
    fp32: Bundle,
    draft: Bundle,
    report: Report,
    qdq_format: QdqFormat = "cpu",
    calibration: str = "minmax",
) -> QuantizedNetwork:
    """Convert a network to the precision of a draft bundle.

    Args:
        target, fp32: the network, and a bundle with its FP32 graph.
        check: accuracy check; None if parity with PyTorch is sufficient (FP16 super-resolution).
        draft: bundle to write the graph to, and for INT8 for TensorRT the FP16 graph too; its card has the precision.
        qdq_format, calibration: of INT8: format of the graph, and method "minmax", "entropy" or "percentile".

    Raises:
        ParityError: the accuracy drop exceeds the limit.
        BuildError: quantization failed.
    """
    precision, search_result = draft.card.precision, None
    if precision == "int8":
        assert check is not None
        parity: dict[str, float] = {}
        with expanded(fp32.onnx) if qdq_format != "tensorrt" else _fp32_for_gpu(target, report) as path:
            ranges = activation_ranges(path, KINDS, check.batches, calibration, inputs=check.inputs)  # of FP32
            source = QuantizationSource(path, ranges, qdq_format)
            if qdq_format == "tensorrt":
                source, parity = _fp16_source(target, path, draft.folder / FP16_ONNX, ranges, report)
            search_result = search(check, fp32, source, draft, report)
        value = search_result.candidates[-1].value
        parity |= verify(target, "int8", draft.onnx, report)
    else:
        parity = export_for_gpu(target, draft.onnx, report, torch.float16)
        if check is None:
            return QuantizedNetwork(draft, parity)
        with closing(OrtSession(draft)) as session:
            value = check.measure(session)
        if not check.fp32_value - value <= check.max_drop:
            raise ParityError(accuracy_error(precision, check, value))
    metrics = _comparison(check, value, fp32, draft, report)
    if search_result:
        metrics |= _search_metrics(search_result, check, qdq_format, calibration)
    timing, notes = _timing(check, fp32, draft, report) if qdq_format == "cpu" else ({}, ())
    evaluation = check.evaluation(precision, metrics | timing)
    inputs_hash = calibration_hash(check.batches, check.inputs) if precision == "int8" else ""
    if precision == "int8" and (warning := calibration_warning(check.batches)):
        notes = (*notes, warning)
    return QuantizedNetwork(draft, parity, evaluation, notes, inputs_hash)


def _comparison(check: AccuracyCheck, value: float, fp32: Bundle, draft: Bundle, report: Report) -> dict[str, Any]:
    """Accuracy and file size, compared with FP32."""
    size, fp32_size = (bundle.onnx.stat().st_size for bundle in (draft, fp32))
    report(
        f"{draft.card.precision}: {check.label} {value:.4f}, fp32 {check.fp32_value:.4f} on {check.dataset_name}; "
        f"{size / 1e3:.0f} kB, fp32 {fp32_size / 1e3:.0f} kB"
    )
    return {
        check.metric: round(value, 4),
        f"fp32_{check.metric}": round(check.fp32_value, 4),
        "drop": round(check.fp32_value - value, 4),
        "max_drop": check.max_drop,
        "bytes": size,
        "fp32_bytes": fp32_size,
    }


def _search_metrics(
    result: SearchResult, check: AccuracyCheck, qdq_format: QdqFormat, calibration: str
) -> dict[str, Any]:
    chosen = result.candidates[-1]
    return {
        "int8_mac_share": round(chosen.int8_share, 4),
        "qdq_format": qdq_format,
        "calibration": calibration,
        "calibration_inputs": len(check.batches),
        "excluded": [result.always_excluded, *chosen.excluded],
        "candidates": [candidate.to_dict() for candidate in result.candidates],
        "sensitivity": {stage: round(share, 4) for stage, share in result.sensitivity.items()},
    }


def _timing(
    check: AccuracyCheck, fp32: Bundle, draft: Bundle, report: Report
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Latency on this CPU, compared with FP32, and a note if the network is slower."""
    precision = draft.card.precision
    # one thread, as others would wait for cores in use
    with closing(OrtSession(draft, 1)) as session, closing(OrtSession(fp32, 1)) as fp32_session:
        time_ms, fp32_ms = median_ms((session, fp32_session), check.timing_input)
        height, width = check.timing_input.shape[1:3]
        where = f"{width}x{height} px, {session.runtime}"
    times = f"{time_ms:.2f} ms, fp32 {fp32_ms:.2f} ms at {where}"
    report(f"{precision}: {times}")
    rounded = {"time_ms": time_ms, "fp32_time_ms": fp32_ms, "time_ratio": time_ms / fp32_ms}
    metrics = {**{name: round(value, 2) for name, value in rounded.items()}, "timed_on": where}
    slower = f"{precision} was slower than fp32 on the build machine: {times}; measure it on your device"
    return metrics, () if time_ms <= fp32_ms else (f"{slower} before you deploy it",)


@contextmanager
def _fp32_for_gpu(target: ExportTarget, report: Report) -> Iterator[Path]:
    """The FP32 graph for TensorRT, of the same structure as the FP16 graph, in a temporary file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "fp32.onnx"
        export_for_gpu(target, path, report, torch.float32)
        yield path


def _fp16_source(
    target: ExportTarget, fp32: Path, fp16: Path, ranges: Ranges, report: Report
) -> tuple[QuantizationSource, dict[str, float]]:
    """Export the FP16 graph for TensorRT, with the ranges of the FP32 graph for it."""
    parity = export_for_gpu(target, fp16, report, torch.float16)
    fp16_ranges = transfer_ranges(ranges, onnx.load(fp32), onnx.load(fp16), KINDS)
    return QuantizationSource(fp16, fp16_ranges, "tensorrt"), parity


def ptq_unchecked(
    target: ExportTarget,
    fp32: Path,
    path: Path,
    batches: Sequence[NDArray[np.uint8]],
    qdq_format: QdqFormat = "cpu",
    inputs: Sequence[Inputs] = (),
) -> None:
    """Write the first INT8 candidate of a build without an accuracy check: only `excluded_nodes` are not quantized.

    Args:
        target, fp32: the network, and its FP32 ONNX file.
        path, qdq_format: of the INT8 graph; for "tensorrt" the FP16 graph is written to the same folder.
        batches: calibration inputs, (N, H, W, 3) uint8; their ranges are not cached.
        inputs: for each of them the other inputs of the network; empty for zeros.

    Raises:
        BuildError: there is nothing to quantize, or quantization failed.
    """
    with expanded(fp32) if qdq_format != "tensorrt" else _fp32_for_gpu(target, lambda line: None) as fp32_path:
        source = QuantizationSource(fp32_path, measured_ranges(fp32_path, KINDS, batches, inputs=inputs), qdq_format)
        if qdq_format == "tensorrt":
            source, _ = _fp16_source(target, fp32_path, path.with_name(FP16_ONNX), source.ranges, lambda line: None)
        model = onnx.load(source.path)
        write_int8(model, source, path, excluded_nodes(model, qdq_format == "tensorrt"))
