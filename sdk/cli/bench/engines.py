"""``facesr-edge bench engines``: engines of every network by NVIDIA's own parser and builder, without a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ....engines.bundle.engine_info import RTX_CAPABILITIES
from ..console import note, put_json, results
from ..options import STDOUT, Command, json_option, option, parse_capabilities
from .output import run_progress

if TYPE_CHECKING:
    from ...bench.engines import EngineRow


@click.command("engines", cls=Command, short_help="Build engines of every network with TensorRT-RTX; needs no GPU.")
@click.option(
    "--model", "models", metavar="NAME", multiple=True, help="Zoo model or bundle; repeatable.  [default: all]"
)
@option("--precision", default="fp32,fp16,int8", metavar="LIST", help="Of fp32,fp16,int8.")
@option(
    "--compute-capabilities",
    default=",".join(RTX_CAPABILITIES),
    metavar="LIST",
    callback=parse_capabilities,
    help="Of the GPUs to build for.",
)
@option("--sizes", type=click.IntRange(min=0), default=0, metavar="N", help="Input sizes of each network; 0 for all.")
@json_option("The engines")
def command(
    models: tuple[str, ...], precision: str, compute_capabilities: tuple[str, ...], sizes: int, json_file: str | None
) -> None:
    """Parse and build the networks with NVIDIA's parser and builder, for each GPU generation on its own.

    The engines are not run: that needs a GPU. Layers and precisions are those that the builder reports.

    \b
    facesr-edge bench engines --model edge-tiny-x4-camera --precision fp16
    facesr-edge bench engines --sizes 1 --json engines.json
    """
    from ....zoo import catalogue
    from ...bench.configs import parse_precisions
    from ...bench.engines import build_engines

    bundles = [catalogue.find(name) for name in models or catalogue.names()]
    with run_progress() as report:
        rows = build_engines(bundles, parse_precisions(precision), compute_capabilities, sizes, report)
    if json_file != STDOUT:
        print_engines(rows)
    if json_file:
        put_json({"engines": [row.to_dict() for row in rows]}, json_file)


def print_engines(rows: list[EngineRow]) -> None:
    """Print a row for each engine, those that differ in the GPU only in one, and a note for each problem."""
    from rich.table import Table

    grid = Table("model", "precision", "GPUs, SM", "input", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("MB", "kernels", "INT8", "FP16", "FP32"):
        grid.add_column(title, justify="right")
    for row, capabilities in merged(rows):
        executed = row.executed or {}
        counts = [str(executed.get(name, 0)) if row.nbytes else "" for name in ("int8", "fp16", "fp32")]
        nbytes, kernels = (f"{row.nbytes / 1e6:.2f}", str(row.kernels)) if row.nbytes else ("", "")
        grid.add_row(row.model, row.precision, capabilities, row.size, nbytes or "not built", kernels, *counts)
    results().print(grid)
    note(_problem(row, capabilities) for row, capabilities in merged(rows) if row.problem)


def _problem(row: EngineRow, capabilities: str) -> str:
    gpus = f", SM {capabilities}" if capabilities else ""
    return f"{' '.join(filter(None, (row.model, row.precision, row.size)))}{gpus}: {row.problem}"


def merged(rows: list[EngineRow]) -> list[tuple[EngineRow, str]]:
    """Rows that differ in the GPU only, to a hundredth of a MB, with the names of all their GPUs."""
    groups: dict[tuple[object, ...], list[EngineRow]] = {}
    for row in rows:
        executed = tuple(sorted((row.executed or {}).items()))
        same = (row.model, row.precision, row.size, round(row.nbytes / 1e4), row.kernels, executed, row.problem)
        groups.setdefault(same, []).append(row)
    return [(group[0], ", ".join(row.capability for row in group)) for group in groups.values()]
