"""Options of a build."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..calibration.accuracy import MAX_AP_DROP, MAX_PSNR_DROP
from ..calibration.data.detection import read_scenes
from ..calibration.data.tracks import RecordTracks
from ..calibration.metrics.evaluate import METRICS, Degrade, Metric
from ..engines.bundle.bundle import Bundle
from ..engines.bundle.card import PRECISIONS, Card, Precision
from ..engines.bundle.io_spec import IOSpec
from ..engines.errors import UnknownNameError, UsageError
from ..engines.onnxruntime.quantizer import METHODS
from ..engines.openvino.session import version as openvino_version
from ..engines.registry import ENGINES as RUNTIMES
from ..engines.tensorrt.api import PRODUCTS

ENGINES = ("auto", *sorted(RUNTIMES))
"""Runtimes to build for; "auto" is TensorRT if it and a GPU are available, otherwise the fastest CPU runtime."""


@dataclass(frozen=True, eq=False)
class BuildOptions:
    """How to build a bundle.

    Args:
        precision: of the network; its uint8 input and output and the consistency projection keep their types.
        engine: runtime to build for, one of `ENGINES`.
        faces: folder of ground-truth faces, at least 128×128, for calibration, parity and evaluation; None for the
            sample faces.
        detection_data: for a detector, folder of labelled images, see `read_scenes`: split "test" for evaluation,
            "train" for INT8 calibration. None calibrates on the sample image and skips the evaluation of FP32.
        max_ap_drop: largest accepted loss of a detector's average precision to FP32, 0..1.
        max_psnr_drop: largest accepted loss of luma PSNR of INT8 super-resolution to FP32, in dB.
        calibration: method for the INT8 activation ranges: "minmax", "entropy" or "percentile".
        calib_crops: calibration inputs of INT8 super-resolution, see `psnr_check`; None for the faces.
        degradations: name -> degradation. A network trained on one of them is evaluated on it as well.
        evaluate_on: names of further degradations that a super-resolution network is evaluated on.
        metrics: name -> metric of these evaluations, see `evaluate`.
        tracks: name of a camera -> records tracks of faces, for the calibration and the evaluation of a multi-frame
            network. Empty: faces that move without noise and compression.
        single_frame: network for single frames that a multi-frame network is compared with; None for bicubic only.

    Raises:
        UnknownNameError: unknown precision, engine, calibration method or degradation.
        UsageError: `calib_crops` without INT8, or a limit that is negative, not a number or too large.
    """

    precision: Precision = "fp32"
    engine: str = "auto"
    faces: Path | None = None
    detection_data: Path | None = None
    max_ap_drop: float = MAX_AP_DROP
    max_psnr_drop: float = MAX_PSNR_DROP
    calibration: str = "minmax"
    calib_crops: Iterable[NDArray[np.uint8]] | None = None
    degradations: Mapping[str, Degrade] = field(default_factory=dict)
    evaluate_on: tuple[str, ...] = ()
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)
    tracks: Mapping[str, RecordTracks] = field(default_factory=dict)
    single_frame: Bundle | None = None

    def __post_init__(self) -> None:
        for kind, choices in (("precision", PRECISIONS), ("engine", ENGINES), ("calibration", METHODS)):
            if getattr(self, kind) not in choices:
                raise UnknownNameError(kind, getattr(self, kind), choices)
        for name in self.evaluate_on:
            if name not in self.degradations:
                raise UnknownNameError("degradation", name, self.degradations)
        for name, limit, value in (
            ("--max-ap-drop", 1.0, self.max_ap_drop),
            ("--max-psnr-drop", 100.0, self.max_psnr_drop),
        ):
            if not 0 <= value <= limit:
                raise UsageError(f"{name} must be 0 to {limit:g}, got {value}")
        if self.calib_crops is not None and self.precision != "int8":
            raise UsageError("--calib-input calibrates INT8 super-resolution; add --int8 or remove --calib-input")

    @property
    def for_tensorrt(self) -> bool:
        """Whether the graphs are those for TensorRT: exported for GPUs, INT8 in its Q/DQ format."""
        return self.engine in {product.engine for product in PRODUCTS.values()}

    def check(self, io_spec: IOSpec, name: str) -> None:
        """Check the options against the network, and read the labels of `detection_data`, before any long step.

        Raises:
            UsageError: an option does not apply to the network.
            InputError: the labels cannot be read.
            MissingDependencyError: see `check_engine_support`.
        """
        check_engine_support(self.engine)
        detector = io_spec.task == "face-detection"
        if self.calib_crops is not None and detector:
            raise UsageError(f"{name} is a detector; calibrate it with --detection-data DIR instead of --calib-input")
        if detector and (self.evaluate_on or self.metrics is not METRICS):
            raise UsageError(f"{name} is a detector; omit --degradation and --identity, which need faces")
        if self.calib_crops is not None and io_spec.frames > 1:
            raise UsageError(f"{name} is calibrated on tracks of the faces; omit --calib-input, or give --faces DIR")
        if self.single_frame:
            self._check_single_frame(io_spec, name, self.single_frame.card)
        if self.detection_data and not detector:
            raise UsageError(f"{name} is not a detector; give --faces DIR instead of --detection-data")
        if self.detection_data:
            for split in ("test",) if self.precision == "fp32" else ("train", "test"):
                read_scenes(self.detection_data, split)

    def _check_single_frame(self, io_spec: IOSpec, name: str, single: Card) -> None:
        """Raise a UsageError unless a network is one for single frames that this network can be compared with."""
        if io_spec.frames == 1:
            raise UsageError(f"{name} reads single frames itself; omit --single-frame")
        if single.io_spec.task != "super-resolution" or single.io_spec.frames > 1 or single.io_spec.references:
            raise UsageError(f"{single.name} is not a network for single frames; give another one as --single-frame")
        if single.io_spec.scale != io_spec.scale:
            raise UsageError(
                f"{single.name} upscales by {single.io_spec.scale}, {name} by {io_spec.scale}; give --single-frame of "
                "the same scale"
            )


def check_engine_support(engine: str) -> None:
    """Check that a runtime exists, and that OpenVINO is installed if it is to be used.

    Args:
        engine: one of `ENGINES`.

    Raises:
        UnknownNameError: unknown engine.
        MissingDependencyError: OpenVINO is not installed.
    """
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    if engine == "openvino":
        openvino_version()
