"""The table of ``facesr-edge eval --faces``: bicubic and models by scale, the best figure of each scale in bold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from ...calibration.metrics.detection_report import FROM_12, MAX_FP_PER_SCENE, MIRRORED, SHRINK
from .console import results, say

if TYPE_CHECKING:
    from rich.table import Table

    from ..evaluation.compare import Ablation, Comparison, ModelRow, ScaleGroup
    from ..evaluation.detectors import DetectorResult, DetectorResults


class Column(NamedTuple):
    """One figure of all rows.

    Args:
        heading: its name, and below it what of or in which unit.
        told: row -> its figure; none where it was not measured.
        form: how the figure is written.
        best: of a group's figures; none where none is better than another.
    """

    heading: str
    told: Callable[[ModelRow], float | None]
    form: Callable[[float], str]
    best: Callable[[list[float]], float] | None = None


def show_faces(comparison: Comparison) -> None:
    """Print the table; a column whose figure no row has is left out."""
    columns = [column for column in COLUMNS if any(column.told(row) is not None for row in _rows(comparison))]
    table = _table(columns)
    for group in comparison.groups:
        for number, row in enumerate(group.rows):
            scale = "" if number else f"x{group.scale}"
            table.add_row(scale, row.label, *(_told(column, row, group) for column in columns))
        table.add_section()
    results().print(table)
    if not any(row.cost for row in _rows(comparison)):
        say("parameters and multiply-adds need PyTorch and onnx: pip install 'facesr-edge[build]'")


def _told(column: Column, row: ModelRow, group: ScaleGroup) -> str:
    value = column.told(row)
    if value is None:
        return ""
    others = [told for each in group.rows if (told := column.told(each)) is not None]
    text = column.form(value)
    return f"[bold]{text}[/]" if column.best and len(others) > 1 and value == column.best(others) else text


def _figure(name: str) -> Callable[[ModelRow], float | None]:
    return lambda row: row.figures.get(name)


def _db(value: float) -> str:
    return f"{value:.2f}"


def _share(value: float) -> str:
    return f"{value:.4f}"


def _count(value: float) -> str:
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"


COLUMNS = (
    Column("PSNR\nY, dB", _figure("psnr_y_db"), _db, max),
    Column("\nRGB, dB", _figure("psnr_rgb_db"), _db, max),
    Column("SSIM\nY", _figure("ssim_y"), _share, max),
    Column("\nRGB", _figure("ssim_rgb"), _share, max),
    Column("VIF\nY", _figure("vif"), _share, max),
    Column("LPIPS\n(less)", _figure("lpips"), _share, min),
    Column("MPS\n", _figure("mps"), _share, max),
    Column("same\nperson", _figure("recognition"), _share, max),
    Column("gain\ndB", lambda row: row.gain_db if row.precision else None, lambda value: f"{value:+.2f}", max),
    Column("weights\n", lambda row: row.cost.parameters if row.cost else None, _count),
    Column("GMAC\n32x32", lambda row: row.cost.gmac if row.cost else None, lambda value: f"{value:.3f}"),
)


def _rows(comparison: Comparison) -> list[ModelRow]:
    return [row for group in comparison.groups for row in group.rows]


def _table(columns: list[Column]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    for heading in ("", ""):
        table.add_column(heading)
    for column in columns:
        table.add_column(column.heading, justify="right")
    return table


GROUPS = {"all": "all pictures", MIRRORED: f"mirrored, x{SHRINK:g}"}
"""What groups of pictures are called, where not by their kind."""
Told = Callable[["DetectorResult"], str]


def show_detectors(measured: DetectorResults) -> None:
    """Print recall and precision by size of face, then all that is one figure a detector, then the machine."""
    console = results()
    console.print(by_size(measured.detectors))
    console.print()
    console.print(single_figures(measured))
    console.print(str(measured.machine), style="dim")


def by_size(detectors: tuple[DetectorResult, ...]) -> Table:
    """Recall at 90 % precision and average precision of each group of pictures and band of sizes."""
    table = _detector_table("", "side")
    table.add_column("faces", justify="right")
    for judged in detectors:
        name = f"{judged.name}\n" if len(detectors) > 1 else ""
        table.add_column(f"{name}recall@90", justify="right")
        table.add_column("AP", justify="right")
    group = ""
    for rows in zip(*(judged.quality.rows for judged in detectors), strict=True):
        row = rows[0]
        if group and row.group != group:
            table.add_section()
        figures = (f"{value:.3f}" for each in rows for value in (each.recall, each.average_precision))
        words = "" if row.group == group else GROUPS.get(row.group, row.group)
        table.add_row(words, str(row.band), str(row.faces), *figures)
        group = row.group
    return table


def single_figures(measured: DetectorResults) -> Table:
    """Figures at the score in use, landmarks, and time; of two detectors also the ratio of their times."""
    table = _detector_table("")
    for judged in measured.detectors:
        table.add_column(judged.name, justify="right")
    if measured.ratios:
        table.add_column("ratio", justify="right")
    for words, told in _figures(measured.detectors[0]):
        table.add_row(words, *map(told, measured.detectors))
    for size in measured.detectors[0].latencies_ms:
        times = (f"{judged.latencies_ms[size].p50:.1f} ms" for judged in measured.detectors)
        ratio = (f"{measured.ratios[size]:.2f}",) if measured.ratios else ()
        table.add_row("{}x{} frame, median".format(*size), *times, *ratio, style="bold")
    return table


def _figures(judged: DetectorResult) -> Iterator[tuple[str, Told]]:
    """What a row is called, and what it says of a detector."""
    quality = judged.quality
    yield f"faces of {FROM_12} found, at score {quality.score:g}", lambda j: _detector_share(j.quality.recall_from_12)
    yield f"false alarms in all {quality.pictures} pictures", lambda j: f"{j.quality.false_alarms}"
    if quality.alarms.pictures:
        yield f"  in the {quality.alarms.pictures} without faces", lambda j: f"{j.quality.alarms.count}"
        yield f"  score that leaves 1 in {MAX_FP_PER_SCENE} of these", lambda j: _number(j.quality.alarms.quiet_score)
    yield "landmark error, of the eyes' distance: mean", lambda j: _detector_share(j.quality.landmarks.mean)
    yield "  median", lambda j: _detector_share(j.quality.landmarks.median)
    yield "  mean without profiles", lambda j: _detector_share(j.quality.landmarks.frontal_mean)


def _detector_table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in columns:
        table.add_column(column)
    return table


def _detector_share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


HEADINGS = {
    "psnr_y_db": "PSNR\nY, dB",
    "psnr_rgb_db": "\nRGB, dB",
    "ssim_y": "SSIM\nY",
    "ssim_rgb": "\nRGB",
    "vif": "VIF\nY",
    "lpips": "LPIPS\n(less)",
    "mps": "MPS\n",
    "recognition": "same\nperson",
}


def show_ablation(found: Ablation) -> None:
    """Print the table."""
    from rich.table import Table

    table = Table("references", box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    for name in found.bicubic:
        table.add_column(HEADINGS.get(name, name), justify="right")
    for label, values in (("bicubic", found.bicubic), *((str(n), one) for n, one in enumerate(found.by_references))):
        table.add_row(label, *(f"{v:.3f}" if name.endswith("_db") else f"{v:.4f}" for name, v in values.items()))
    console = results()
    console.print(f"{found.model}, {found.faces} faces, a library of {found.entries} entries")
    console.print(table)
