"""Predicted latency of bundles on devices, with error bars."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import exp, hypot, log
from typing import Any

from ....converters.kernels import Kernel, Precision
from ....engines.batching import split_batch
from ....engines.bundle.bundle import FP16_ONNX, INT8_ONNX, Bundle
from ....engines.errors import UsageError
from ....engines.tensorrt.options import SIZES_HW
from .devices import Architecture, Device
from .roofline import COEFFICIENTS, work_of

PRECISIONS: tuple[Precision, ...] = ("fp16", "int8")
"""Of the predictions."""
SHARE = 0.8
"""Share of the measurements that lie within the error bars, as far as the anchors tell."""
HELD_OUT_FACTOR: dict[Architecture, float] = {"ampere": 1.12, "blackwell": 1.21}
"""Factor that `SHARE` of the anchors are within when the fit has not seen their family of networks; the anchors on Thor
are of one family, so the fit has then seen no Thor. A test repeats it."""
KERNEL_COUNT_MARGIN = 0.25
"""Relative uncertainty of the number of kernels: which operators TensorRT fuses is known for the anchors only."""
FP32_MARGIN = 0.5
"""Relative uncertainty of multiply-adds in FP32, which the consistency projection has and no anchor."""
UNCOVERED = (
    "not covered: other power modes and clocks, throttling, other processes that use the memory, decoding, resizing, "
    "pasting and encoding of frames, copies between host and GPU"
)


@dataclass(frozen=True)
class Prediction:
    """Predicted GPU time of a call.

    Args:
        model: name of the bundle.
        precision: of the network; the consistency projection is FP32.
        device: key of `DEVICES`.
        height, width: of the input, in pixels.
        batch: images per call.
        ms: predicted time.
        low_ms, high_ms: error bars, see `SHARE`.
        launch_ms: time of starting and ending kernels, part of `ms`.
        fp32_ms: time in convolutions and matrix products in FP32, part of `ms`.
        kernels: number of kernels that the call launches.
        gmac: multiply-adds in 10⁹.
        megabytes: moved, in 10⁶ bytes.
    """

    model: str
    precision: Precision
    device: str
    height: int
    width: int
    batch: int
    ms: float
    low_ms: float
    high_ms: float
    launch_ms: float
    fp32_ms: float
    kernels: int
    gmac: float
    megabytes: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON; ms are rounded to 1 µs."""
        return {
            name: round(v, 4 if "ms" not in name else 3) if isinstance(v, float) else v
            for name, v in asdict(self).items()
        }


def error_factor(device: Device, launch_share: float, fp32_share: float) -> float:
    """Factor f: the error bars of a prediction are ms / f and ms · f.

    Args:
        device: of the prediction.
        launch_share: share of the time that depends on the number of kernels alone.
        fp32_share: share of the time in convolutions and matrix products in FP32.
    """
    shares = KERNEL_COUNT_MARGIN * launch_share, FP32_MARGIN * fp32_share
    return exp(hypot(log(HELD_OUT_FACTOR[device.architecture]), *(log(1 + share) for share in shares)))


def predict_call(
    model: str, precision: Precision, size_hw: tuple[int, int], batch: int, kernels: Sequence[Kernel], device: Device
) -> Prediction:
    """Prediction of a call with `batch` images, from the kernels of one image."""
    batched = [kernel.batched(batch) for kernel in kernels]
    work = work_of(batched, device)
    times_ms, launches_ms = work.times_ms(COEFFICIENTS), COEFFICIENTS.launch_kcycles * work.kcycle_ms
    ms, launch_ms = float(times_ms.sum()), float(launches_ms.sum())
    is_fp32 = [kernel.macs > 0 and kernel.precision == "fp32" for kernel in batched]
    fp32_ms = float((times_ms - launches_ms)[is_fp32].sum())
    factor = error_factor(device, launch_ms / ms, fp32_ms / ms)
    gmac, megabytes = sum(k.macs for k in batched) / 1e9, sum(k.bytes for k in batched) / 1e6
    times = (ms, ms / factor, ms * factor, launch_ms, fp32_ms)
    return Prediction(model, precision, device.name, *size_hw, batch, *times, len(batched), gmac, megabytes)


def graph_file(bundle: Bundle, precision: Precision) -> str:
    """Name of the graph that a prediction reads; "" if the bundle has none in that precision.

    FP16 is predicted from an FP16 or FP32 graph, INT8 from the places of an INT8 graph's quantization.
    """
    files, own = bundle.card.files, bundle.card.precision
    if precision == "int8":
        return bundle.onnx.name if own == "int8" else INT8_ONNX if INT8_ONNX in files else ""
    if own == "int8":
        return FP16_ONNX if FP16_ONNX in files else ""
    return bundle.onnx.name


def kernels_of(bundle: Bundle, precision: Precision) -> dict[tuple[int, int], list[Kernel]]:
    """Kernels of a bundle for one image, by (height, width); empty if it has no graph in that precision."""
    from ....converters.kernel_graph import crop_kernels, frame_kernels

    name = graph_file(bundle, precision)
    if not name:
        return {}
    io_spec, path = bundle.card.io_spec, bundle.folder / name
    if io_spec.task == "face-detection":
        return frame_kernels(path, io_spec.sizes_hw or SIZES_HW)
    return {(side, side): kernels for side, kernels in crop_kernels(bundle, path).items()}


def predict_bundle(
    bundle: Bundle, devices: Iterable[Device], precisions: Iterable[Precision] = PRECISIONS, batch: int | None = None
) -> list[Prediction]:
    """Predictions for every size that a bundle's engine runs.

    Args:
        bundle: to predict.
        devices: to predict for.
        precisions: those without a graph in the bundle are left out.
        batch: images per call; None for every batch size that the engine runs.

    Raises:
        UsageError: the bundle runs no such batch.
        EngineError: a graph cannot be run on the CPU, which tells its shapes.
    """
    io_spec = bundle.card.io_spec
    if batch and batch not in io_spec.batches:
        raise UsageError(f"{bundle.card.name} runs batches of {', '.join(map(str, io_spec.batches))}, got {batch}")
    devices, predictions = tuple(devices), []
    for precision in precisions:
        for size, kernels in kernels_of(bundle, precision).items():
            batches = io_spec.batches_of(*size)
            for count in batches if batch is None else [n for n in batches if n == batch]:
                predictions += [
                    predict_call(bundle.card.name, precision, size, count, kernels, device) for device in devices
                ]
    return predictions


@dataclass(frozen=True)
class FramePrediction:
    """Predicted GPU time of the networks for a frame: the detector once, and the faces in the fewest calls."""

    model: str
    precision: Precision
    device: str
    faces: int
    side: int  # of the faces' crops, in pixels
    ms: float
    low_ms: float
    high_ms: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON; ms are rounded to 1 µs."""
        return {name: round(v, 3) if isinstance(v, float) else v for name, v in asdict(self).items()}


def predict_frames(predictions: Sequence[Prediction], faces: int) -> list[FramePrediction]:
    """Frames of the detector's largest size with `faces` faces, for each model, crop size, precision and device.

    The errors of detector and faces are added: the same coefficients are wrong in both.

    Args:
        predictions: of one detector and of super-resolution models in all batch sizes.
        faces: of one crop size, in a frame.
    """
    calls: dict[tuple[Any, ...], dict[int, Prediction]] = defaultdict(dict)
    detectors: dict[tuple[str, str], Prediction] = {}
    for p in predictions:
        if p.height == p.width:
            calls[p.model, p.precision, p.device, p.height][p.batch] = p
        else:
            detectors[p.precision, p.device] = max(p, detectors.get((p.precision, p.device), p), key=_area)
    frames = []
    for (model, precision, device, side), by_batch in calls.items():
        if (precision, device) in detectors:
            face_calls = [by_batch[n] for n in split_batch(faces, tuple(by_batch))]
            parts = [detectors[precision, device], *face_calls]
            sums = (sum(part.ms for part in parts), sum(p.low_ms for p in parts), sum(p.high_ms for p in parts))
            frames.append(FramePrediction(model, precision, device, faces, side, *sums))
    return frames


def _area(prediction: Prediction) -> int:
    return prediction.height * prediction.width
