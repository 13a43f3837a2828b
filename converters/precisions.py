"""What a network loses in fewer bits, or why it is kept out of them: written on the card of what ships."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..calibration.sample import NAME as SAMPLE
from ..engines.bundle import Bundle, write_bundle
from ..engines.card import Precision
from ..engines.errors import BuildError
from .blueprint import Blueprint
from .build import build_from

MOST_DROP_DB: dict[Precision, float] = {"fp16": 0.05, "int8": 0.15}
"""By how much PSNR on the luma may fall behind FP32 for a network to be used in fewer bits."""


def with_precisions(
    bundle: Bundle, plan: Blueprint, faces: Path | None = None, report: Callable[[str], None] = lambda line: None
) -> Bundle:
    """Build a super-resolution network in FP16 and INT8 too, and put on its card what that costs.

    Args:
        bundle: the network in FP32.
        plan: what it was built of.
        faces: folder of true faces to measure on; without it, sample faces.
        report: told a line after each step.

    Returns:
        The bundle with a section "fewer bits" in the quality of its card: precision -> ``psnr_y_db`` and ``drop_db``,
        or ``kept_out`` with the reason.

    Raises:
        OutputError: the card cannot be written.
    """
    told = {precision: _tried(bundle, plan, precision, faces, report) for precision in MOST_DROP_DB}
    card = replace(bundle.card, quality={**bundle.card.quality, "fewer bits": told})
    return write_bundle(bundle.folder, card, {name: (bundle.folder / name).read_bytes() for name in bundle.card.files})


def _tried(
    bundle: Bundle, plan: Blueprint, precision: Precision, faces: Path | None, report: Callable[[str], None]
) -> dict[str, Any]:
    most = MOST_DROP_DB[precision]
    with TemporaryDirectory() as folder:
        try:
            target = "onnxruntime"
            made = build_from(
                plan,
                Path(folder) / precision,
                precision=precision,
                target=target,
                faces=faces,
                max_psnr_drop=most,
                report=report,
            )
        except BuildError as error:
            report(f"{precision} is kept out: {error}")
            return {"kept_out": str(error)}
    before, after = (measured(one, faces) for one in (bundle, made))
    drop = before["psnr_y_db"] - after["psnr_y_db"]
    report(f"{precision}: {after['psnr_y_db']:.3f} dB, {drop:.3f} dB below fp32, at most {most} is allowed")
    if drop > most:
        return {"kept_out": f"loses {drop:.3f} dB, at most {most} is allowed"}
    return {"psnr_y_db": after["psnr_y_db"], "drop_db": round(drop, 4)}


def measured(bundle: Bundle, faces: Path | None) -> dict[str, Any]:
    """The figures on a super-resolution card: those on a folder of faces, or on the sample faces."""
    wanted = f" faces of {faces.resolve().name}" if faces else SAMPLE
    return dict(next(value for key, value in bundle.card.quality.items() if key.endswith(wanted)))
