"""Accuracy drop of FP16 and INT8, or the reason they are rejected, for the card of an FP32 bundle."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...calibration.accuracy import AccuracyCheck, psnr_check
from ...calibration.data.faces import true_faces
from ...engines.bundle.bundle import Bundle, write_bundle
from ...engines.bundle.card import Precision, evaluation_from_title, with_evaluation
from ...engines.errors import BuildError
from ...engines.onnxruntime.session import OrtSession
from ..export.convert import ExportTarget, Report, export_target_from_bundle
from .ptq import quantize

MAX_DROP_DB: dict[Precision, float] = {"fp16": 0.05, "int8": 0.15}
"""Largest accepted loss of luma PSNR to FP32, in dB."""


def report_precisions(bundle: Bundle, faces: Path | None = None, report: Report = lambda line: None) -> Bundle:
    """Quantize a super-resolution network to FP16 and INT8 and write the accuracy drop to its card.

    Args:
        bundle: in FP32.
        faces: folder of ground-truth faces for evaluation; None for the sample faces.

    Returns:
        The bundle with an evaluation of each precision: metrics ``psnr_y_db`` and ``drop_db``, or ``rejected`` with the
        reason.

    Raises:
        OutputError: the card cannot be written.
    """
    card = bundle.card
    hr, dataset_name = true_faces(faces)
    target = export_target_from_bundle(bundle, hr)
    with closing(OrtSession(bundle)) as reference:
        check = psnr_check(reference, hr, dataset_name)
    for precision, max_drop in MAX_DROP_DB.items():
        metrics = _drop(bundle, target, replace(check, max_drop=max_drop), precision, report)
        card = with_evaluation(card, evaluation_from_title(dataset_name, precision, metrics))
    return write_bundle(bundle.folder, card, {name: (bundle.folder / name).read_bytes() for name in card.files})


def _drop(
    bundle: Bundle, target: ExportTarget, check: AccuracyCheck, precision: Precision, report: Report
) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        draft = Bundle(Path(folder), replace(bundle.card, precision=precision))
        try:
            evaluation = quantize(target, check, bundle, draft, report).evaluation
        except BuildError as error:
            report(f"{precision} is rejected: {error}")
            return {"rejected": str(error)}
    assert evaluation is not None
    drop_db = evaluation.metrics["drop"]
    report(f"{precision}: {drop_db:.3f} dB below fp32, limit {check.max_drop} dB")
    return {"psnr_y_db": evaluation.metrics["psnr_y_db"], "drop_db": drop_db}
