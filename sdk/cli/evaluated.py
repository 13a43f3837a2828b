"""The table of ``facesr-edge eval --faces``: bicubic and models by scale, the best figure of each scale in bold."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from .screen import results, say

if TYPE_CHECKING:
    from rich.table import Table

    from ..comparison import Comparison, Group, Row


class Column(NamedTuple):
    """One figure of all rows.

    Args:
        heading: its name, and below it what of or in which unit.
        told: row -> its figure; none where it was not measured.
        form: how the figure is written.
        best: of a group's figures; none where none is better than another.
    """

    heading: str
    told: Callable[[Row], float | None]
    form: Callable[[float], str]
    best: Callable[[list[float]], float] | None = None


def show(comparison: Comparison) -> None:
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


def _told(column: Column, row: Row, group: Group) -> str:
    value = column.told(row)
    if value is None:
        return ""
    others = [told for each in group.rows if (told := column.told(each)) is not None]
    text = column.form(value)
    return f"[bold]{text}[/]" if column.best and len(others) > 1 and value == column.best(others) else text


def _figure(name: str) -> Callable[[Row], float | None]:
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


def _rows(comparison: Comparison) -> list[Row]:
    return [row for group in comparison.groups for row in group.rows]


def _table(columns: list[Column]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    for heading in ("", ""):
        table.add_column(heading)
    for column in columns:
        table.add_column(column.heading, justify="right")
    return table
