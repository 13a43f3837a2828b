"""``facesr-edge eval``: quality on held-out faces, beside bicubic."""

from __future__ import annotations

from pathlib import Path

import click

from ...zoo.catalogue import DEFAULT_MODEL
from .options import STDOUT, Command, engine_option, json_option, model_option, path_option, threads_option
from .screen import put_json, results, say


@click.command("eval", cls=Command, short_help="Quality on held-out faces, beside bicubic.")
@model_option(DEFAULT_MODEL)
@path_option("--faces", metavar="DIR", required=True, help="Pictures of faces, 128x128 or larger, not trained on.")
@engine_option
@threads_option
@json_option("The figures")
def command(model: str, faces: Path, engine: str, threads: int, json_file: str | None) -> None:
    """Measure a model as the papers do: faces are shrunk by bicubic, enlarged again, and compared with themselves.

    \b
    facesr-edge eval --model idrn-x4 --faces held-out/
    """
    from ...calibration.crops import read_faces
    from ...calibration.evaluate import evaluate
    from ...engines.choose import open_session
    from ...zoo import catalogue

    bundle = catalogue.find(model)
    session = open_session(bundle, engine, threads)
    pictures = read_faces(faces)
    say(f"{len(pictures)} faces of {faces} · {bundle.card.name} {bundle.card.precision} · {session.runtime}")
    measured = evaluate(session, pictures)
    session.close()
    if json_file:
        about = {"model": bundle.card.name, "precision": bundle.card.precision, "engine": session.runtime}
        put_json({**about, **measured.to_dict()}, json_file)
    if json_file == STDOUT:
        return
    from rich.table import Table

    table = Table("", box=None, padding=(0, 1), header_style="dim")
    for column in ("PSNR Y", "PSNR RGB", "SSIM Y"):
        table.add_column(column, justify="right")
    m = measured
    for name, y, rgb, ssim in (
        (bundle.card.name, m.psnr_y_db, m.psnr_rgb_db, m.ssim_y),
        ("bicubic", m.bicubic_psnr_y_db, m.bicubic_psnr_rgb_db, m.bicubic_ssim_y),
    ):
        table.add_row(name, f"{y:.2f} dB", f"{rgb:.2f} dB", f"{ssim:.4f}")
    table.add_row(
        "gain",
        f"{m.gain_db:+.2f} dB",
        f"{m.psnr_rgb_db - m.bicubic_psnr_rgb_db:+.2f} dB",
        f"{m.ssim_y - m.bicubic_ssim_y:+.4f}",
        style="bold",
    )
    results().print(table)
