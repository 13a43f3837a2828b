"""Table of ``facesr-edge eval`` for a multi-frame network: cameras and numbers of frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .console import results
from .eval_tables import new_table

if TYPE_CHECKING:
    from ..evaluation.track_conditions import TrackConditions


def print_tracks(conditions: TrackConditions) -> None:
    """Print PSNR and SSIM of the network, and its gain over bicubic and over the network for single frames."""
    table = new_table("camera")
    for heading in ("frames", "faces", "PSNR\nY, dB", "SSIM\nY", "over bicubic\ndB"):
        table.add_column(heading, justify="right")
    if conditions.single:
        table.add_column(f"over {conditions.single}\ndB", justify="right")
    for (camera, frames), one in conditions.evaluations.items():
        metrics, gain_db = one.evaluation.model, one.gain_over_single_db
        cells = [f"{metrics['psnr_y_db']:.2f}", f"{metrics['ssim_y']:.4f}", f"{one.evaluation.gain_db:+.2f}"]
        cells += [] if gain_db is None else [f"{gain_db:+.2f}"]
        table.add_row(camera, str(frames), str(one.evaluation.faces), *cells)
    results().print(table)
