"""What a network loses in fewer bits, or why it is kept out of them: written on the card of what ships."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...calibration.accuracy import AccuracyCheck, psnr_check
from ...calibration.data.faces import true_faces
from ...engines.bundle.bundle import Bundle, write_bundle
from ...engines.bundle.card import Precision
from ...engines.errors import BuildError
from ...engines.onnxruntime.session import OrtSession
from ..export.convert import ExportTarget, export_target_from_bundle
from .ptq import beside_fp32, quantize

MAX_DROP_DB: dict[Precision, float] = {"fp16": 0.05, "int8": 0.15}
"""By how much PSNR on the luma may fall behind FP32 for a network to be used in fewer bits."""
Report = Callable[[str], None]


def report_precisions(bundle: Bundle, faces: Path | None = None, report: Report = lambda line: None) -> Bundle:
    """Make FP16 and INT8 of a super-resolution network too, and put on its card what that costs.

    Args:
        bundle: the network in FP32.
        faces: folder of true faces to measure on; without it, sample faces.
        report: told a line after each step.

    Returns:
        The bundle with a section "fewer bits" in the quality of its card: precision -> ``psnr_y_db`` and ``drop_db``,
        or ``kept_out`` with the reason.

    Raises:
        OutputError: the card cannot be written.
    """
    card = bundle.card
    truth, whose = true_faces(faces)
    what = export_target_from_bundle(bundle, truth)
    with closing(OrtSession(bundle)) as reference:
        gate = psnr_check(reference, truth, whose)
        told = {
            precision: _tried(bundle, what, replace(gate, most_drop=most), precision, report)
            for precision, most in MAX_DROP_DB.items()
        }
    card = replace(card, quality={**card.quality, "fewer bits": told})
    return write_bundle(bundle.folder, card, {name: (bundle.folder / name).read_bytes() for name in card.files})


def _tried(
    bundle: Bundle, what: ExportTarget, gate: AccuracyCheck, precision: Precision, report: Report
) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        try:
            card = quantize(what, gate, bundle, Bundle(Path(folder), replace(bundle.card, precision=precision)), report)
        except BuildError as error:
            report(f"{precision} is kept out: {error}")
            return {"kept_out": str(error)}
    found = card.quality[beside_fp32(precision, gate.whose)]
    report(f"{precision}: {found['drop']:.3f} dB below fp32, at most {gate.most_drop} is allowed")
    return {"psnr_y_db": found["psnr_y_db"], "drop_db": found["drop"]}
