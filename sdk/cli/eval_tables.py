"""Tables of ``facesr-edge eval``: models by scale, detectors by face size, and the ablation of references."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from ...calibration.metrics.detection_report import FROM_12, MAX_FP_PER_SCENE, MIRRORED, MIRRORED_SCALE
from ...calibration.metrics.evaluate import FACES_SUFFIX
from .console import results, say

if TYPE_CHECKING:
    from rich.table import Table

    from ..evaluation.compare import Ablation, Comparison, ModelRow, ScaleGroup
    from ..evaluation.detectors import DetectorResult, DetectorResults

HEADINGS = {
    "psnr_y_db": "PSNR\nY, dB",
    "psnr_rgb_db": "PSNR\nRGB, dB",
    "ssim_y": "SSIM\nY",
    "ssim_rgb": "SSIM\nRGB",
    "vif": "VIF\nY",
    "invented_detail": "invented\n(lower)",
    "lpips": "LPIPS\n(lower)",
    "mps": "MPS\n",
    "identity": "ID cos\n",
    "identity_distance": "ID dist\n(lower)",
    "identity_distance_faces": "ID dist\nfaces",
}
"""Metric -> heading; a metric without one is shown under its name, after these."""
LOWER_IS_BETTER = ("invented_detail", "lpips", "identity_distance")


class Column(NamedTuple):
    """One column of the table of models."""

    heading: str  # two lines: metric, and channel or unit
    value: Callable[[ModelRow], float | None]  # None if it was not measured
    format: Callable[[float], str]
    best: Callable[[list[float]], float] | None = None  # max or min; None if no value is better than another


def print_comparison(comparison: Comparison) -> None:
    """Print a table by scale with the best value of each scale in bold, without columns that no row has."""
    rows = [row for group in comparison.groups for row in group.rows]
    others = dict.fromkeys(name for row in rows for name in row.metrics if name not in HEADINGS)
    columns = (*map(_metric, (*HEADINGS, *others)), *COLUMNS)
    columns = tuple(column for column in columns if any(column.value(row) is not None for row in rows))
    table = new_table("", "")
    for column in columns:
        table.add_column(column.heading, justify="right")
    for group in comparison.groups:
        for number, row in enumerate(group.rows):
            scale = "" if number else f"x{group.scale}"
            table.add_row(scale, row.label, *(_cell(column, row, group) for column in columns))
        table.add_section()
    results().print(table)
    if not any(row.complexity for row in rows):
        say("parameters and multiply-adds need PyTorch and onnx: pip install 'facesr-edge[build]'")


def _cell(column: Column, row: ModelRow, group: ScaleGroup) -> str:
    value = column.value(row)
    if value is None:
        return ""
    values = [v for each in group.rows if (v := column.value(each)) is not None]
    text = column.format(value)
    return f"[bold]{text}[/]" if column.best and len(values) > 1 and value == column.best(values) else text


def _metric(name: str) -> Column:
    heading = HEADINGS.get(name, f"{name}\n")
    if name.endswith(FACES_SUFFIX):
        return Column(heading, lambda row: row.metrics.get(name), lambda value: f"{value:.0f}")
    decimals, best = 2 if name.endswith("_db") else 4, min if name in LOWER_IS_BETTER else max
    return Column(heading, lambda row: row.metrics.get(name), lambda value: f"{value:.{decimals}f}", best)


def _parameters(value: float) -> str:
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"


COLUMNS = (
    Column("gain\ndB", lambda row: row.gain_db if row.precision else None, lambda value: f"{value:+.2f}", max),
    Column("params\n", lambda row: row.complexity.parameters if row.complexity else None, _parameters),
    Column("GMAC\n32x32", lambda row: row.complexity.gmacs if row.complexity else None, lambda value: f"{value:.3f}"),
)


def new_table(*columns: str) -> Table:
    """An empty table; the given columns are left-aligned."""
    from rich.table import Table

    return Table(*columns, box=None, padding=(0, 1), header_style="dim", pad_edge=False)


GROUPS = {"all": "all images", MIRRORED: f"mirrored, x{MIRRORED_SCALE:g}"}
"""Group of images -> display name; other groups are kinds of scenes."""
Cell = Callable[["DetectorResult"], str]


def print_detectors(measured: DetectorResults) -> None:
    """Print recall and precision by face size, then the other metrics and the latencies, then the machine."""
    console = results()
    console.print(size_table(measured.detectors))
    console.print()
    console.print(summary_table(measured))
    console.print(str(measured.machine), style="dim")


def size_table(detectors: tuple[DetectorResult, ...]) -> Table:
    """Recall at 90 % precision and average precision by group of images and face size."""
    table = new_table("", "side")
    table.add_column("faces", justify="right")
    for result in detectors:
        name = f"{result.name}\n" if len(detectors) > 1 else ""
        table.add_column(f"{name}recall@90", justify="right")
        table.add_column("AP", justify="right")
    group = ""
    for rows in zip(*(result.quality.rows for result in detectors), strict=True):
        row = rows[0]
        if group and row.group != group:
            table.add_section()
        metrics = (f"{value:.3f}" for each in rows for value in (each.recall, each.average_precision))
        name = "" if row.group == group else GROUPS.get(row.group, row.group)
        table.add_row(name, str(row.sizes), str(row.faces), *metrics)
        group = row.group
    return table


def summary_table(measured: DetectorResults) -> Table:
    """Metrics at the score threshold, landmark errors and latencies; for two detectors also the latency ratio."""
    table = new_table("")
    for result in measured.detectors:
        table.add_column(result.name, justify="right")
    if measured.ratios:
        table.add_column("ratio", justify="right")
    for name, cell in _summary_rows(measured.detectors[0]):
        table.add_row(name, *map(cell, measured.detectors))
    for size in measured.detectors[0].latencies_ms:
        latencies = (f"{result.latencies_ms[size].p50:.1f} ms" for result in measured.detectors)
        ratio = (f"{measured.ratios[size]:.2f}",) if measured.ratios else ()
        table.add_row("{}x{} frame, median latency".format(*size), *latencies, *ratio, style="bold")
    return table


def _summary_rows(first: DetectorResult) -> Iterator[tuple[str, Cell]]:
    """Name of each row, and its cell for a detector."""
    quality = first.quality
    yield f"recall, {FROM_12}, score {quality.score:g}", lambda r: _format(r.quality.recall_from_12)
    yield f"false positives in {quality.images} images", lambda r: f"{r.quality.false_positives}"
    if quality.background.images:
        yield f"  in {quality.background.images} images without faces", lambda r: f"{r.quality.background.count}"
        name = f"  score threshold for 1 in {MAX_FP_PER_SCENE} of these"
        yield name, lambda r: _format(r.quality.background.fp_threshold, ".3f")
    for n, each in enumerate(quality.robustness):
        yield from _robustness_rows(n, each.degradation, quality.background.images)
    yield "landmark error / eye distance: mean", lambda r: _format(r.quality.landmarks.mean)
    yield "  median", lambda r: _format(r.quality.landmarks.median)
    yield "  mean without profiles", lambda r: _format(r.quality.landmarks.frontal_mean)


def _robustness_rows(n: int, degradation: str, empty: int) -> Iterator[tuple[str, Cell]]:
    """Rows of the n-th degradation; `empty` is the number of images without faces."""
    yield f"faces also detected in {degradation}", lambda r: _format(r.quality.robustness[n].detected)
    if empty:
        name = f"  false positives in {empty} images without faces"
        yield name, lambda r: f"{r.quality.robustness[n].background_false_positives}"


def _format(value: float | None, spec: str = ".1%") -> str:
    return "–" if value is None else f"{value:{spec}}"


def print_ablation(ablation: Ablation) -> None:
    """Print the metrics by the number of references."""
    table = new_table("references")
    for name in ablation.bicubic:
        table.add_column(HEADINGS.get(name, name), justify="right")
    rows = {"bicubic": ablation.bicubic, **{str(count): m for count, m in enumerate(ablation.by_references)}}
    for label, metrics in rows.items():
        table.add_row(label, *(f"{v:.{_ablation_decimals(name)}f}" for name, v in metrics.items()))
    console = results()
    console.print(f"{ablation.model}, {ablation.faces} faces, reference library of {ablation.entries} entries")
    console.print(table)


def _ablation_decimals(metric: str) -> int:
    return 0 if metric.endswith(FACES_SUFFIX) else 3 if metric.endswith("_db") else 4
