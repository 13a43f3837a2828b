"""Precisions of an FP32 bundle besides its own: INT8 graphs for CPUs, and the accuracy drop of each on the card."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

from ...calibration.accuracy import (
    MAX_AP_DROP,
    AccuracyCheck,
    average_precision_check,
    calibration_warning,
    psnr_check,
    track_psnr_check,
)
from ...calibration.data.faces import true_faces
from ...calibration.data.tracks import RecordTracks, joined
from ...calibration.metrics.tracks import tracks_of
from ...engines.bundle.bundle import INT8_ONNX, INT8_VNNI_ONNX, Bundle, check_writable, write_bundle
from ...engines.bundle.card import Card, Precision, with_evaluation
from ...engines.cpu import has_bf16, has_vnni
from ...engines.errors import BuildError
from ...engines.onnxruntime.session import OrtSession
from ...engines.openvino.session import OvSession, installed
from ..export.convert import ExportTarget, Report, export_target_from_bundle
from .ptq import quantize
from .search import QdqFormat

MAX_DROP_DB: dict[Precision, float] = {"fp16": 0.05, "int8": 0.15}
"""Largest accepted loss of luma PSNR to FP32, in dB."""


def add_precisions(
    bundle: Bundle,
    faces: Path | None = None,
    detection_data: Path | None = None,
    report: Report = lambda line: None,
    cameras: Mapping[str, RecordTracks] = MappingProxyType({}),
) -> Bundle:
    """Quantize a network to FP16 and INT8, write the accuracy drop to its card, and add the INT8 graphs to the bundle.

    INT8 with 8-bit weights needs a processor with VNNI, and BF16, in which OpenVINO runs the FP32 graph, one with BF16:
    elsewhere they are left out.

    Args:
        bundle: in FP32.
        faces: folder of ground-truth faces for evaluation; None for the sample faces.
        detection_data: of a detector, labelled images; None for the sample image.
        cameras: name -> records tracks of the faces, for a multi-frame network; empty for faces that move without noise
            and compression.

    Returns:
        The bundle with an evaluation of each precision: the metric and its ``drop_db``, or ``drop`` for a detector, the
        same with the prefix ``vnni_`` for 8-bit weights; or ``rejected`` with the reason.

    Raises:
        OutputError: the bundle cannot be written.
    """
    check_writable(bundle.folder)
    contents = {name: bundle.read(name) for name in bundle.card.files}
    with TemporaryDirectory() as workdir:  # what was verified, whatever happens to the files meanwhile
        copy = write_bundle(Path(workdir) / "copy", bundle.card, contents)
        precisions = _Precisions(copy, faces, detection_data, report, cameras)
        card = _add(precisions, contents)
    return write_bundle(bundle.folder, card, contents)


def _add(precisions: _Precisions, contents: dict[str, bytes]) -> Card:
    """Quantize to each precision; the graphs are added to `contents`, the evaluations to the card that is returned."""
    card = precisions.bundle.card
    if warning := calibration_warning(precisions.check.batches):
        precisions.report(warning)
        card = replace(card, notes=(*card.notes, warning))
    evaluations = {"fp16": precisions.quantized("fp16", "cpu")[0]}
    evaluations["int8"], graph = precisions.quantized("int8", "cpu")
    if graph:
        contents[INT8_ONNX] = graph
    if graph and has_vnni():
        vnni, graph = precisions.quantized("int8", "vnni")
        evaluations["int8"] |= {f"vnni_{name}": value for name, value in vnni.items()}
        contents |= {INT8_VNNI_ONNX: graph} if graph else {}
    if has_bf16() and installed() and not card.io_spec.references:
        evaluations["bf16"] = precisions.bf16()
    for precision, metrics in evaluations.items():
        card = with_evaluation(card, precisions.check.evaluation(precision, metrics))
    return card


class _Precisions:
    """Quantizes one bundle; the evaluation in FP32 is shared by all precisions."""

    def __init__(
        self,
        bundle: Bundle,
        faces: Path | None,
        detection_data: Path | None,
        report: Report,
        cameras: Mapping[str, RecordTracks],
    ) -> None:
        self.bundle, self.report = bundle, report
        self.detector = bundle.card.io_spec.task == "face-detection"
        hr, dataset_name = true_faces(faces)
        self.target: ExportTarget = export_target_from_bundle(bundle, hr)
        with closing(OrtSession(bundle)) as reference:
            if self.detector:
                self.check: AccuracyCheck = average_precision_check(reference, detection_data)
            elif bundle.card.io_spec.frames > 1:
                tracks = joined([*tracks_of(hr, bundle.card.io_spec, cameras).values()])
                self.check = track_psnr_check(reference, tracks, dataset_name)
            else:
                self.check = psnr_check(reference, hr, dataset_name)

    def quantized(self, precision: Precision, qdq_format: QdqFormat) -> tuple[dict[str, Any], bytes]:
        """Metrics for the card, and the graph; empty if the precision is rejected."""
        check = replace(self.check, max_drop=MAX_AP_DROP if self.detector else MAX_DROP_DB[precision])
        with TemporaryDirectory() as folder:
            draft = Bundle(Path(folder), replace(self.bundle.card, precision=precision, files={}))
            try:
                evaluation = quantize(self.target, check, self.bundle, draft, self.report, qdq_format).evaluation
            except BuildError as error:
                self.report(f"{precision} is rejected: {error}")
                return {"rejected": str(error)}, b""
            assert evaluation is not None
            return self._metrics(precision, evaluation.metrics[check.metric]), draft.onnx.read_bytes()

    def bf16(self) -> dict[str, Any]:
        """Metrics of the FP32 graph in OpenVINO's BF16."""
        with closing(OvSession(self.bundle, precision="bf16")) as session:
            return self._metrics("bf16", self.check.measure(session))

    def _metrics(self, precision: str, value: float) -> dict[str, Any]:
        drop = self.check.fp32_value - value
        self.report(f"{precision}: {self.check.label} {value:.4f}, {drop:.4f} below fp32")
        return {self.check.metric: round(value, 4), "drop" if self.detector else "drop_db": round(drop, 4)}
