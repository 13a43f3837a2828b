"""The tables of ``facesr-edge eval --scenes``: one detector, or two side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ...calibration.detector_quality import FROM_12, MIRRORED, QUIET, SHRINK
from .screen import results

if TYPE_CHECKING:
    from rich.table import Table

    from ..judge import Judged, Judgements

GROUPS = {"all": "all pictures", MIRRORED: f"mirrored, x{SHRINK:g}"}
"""What groups of pictures are called, where not by their kind."""
Told = Callable[["Judged"], str]


def show(measured: Judgements) -> None:
    """Print recall and precision by size of face, then all that is one figure a detector, then the machine."""
    console = results()
    console.print(by_size(measured.detectors))
    console.print()
    console.print(single_figures(measured))
    console.print(str(measured.machine), style="dim")


def by_size(detectors: tuple[Judged, ...]) -> Table:
    """Recall at 90 % precision and average precision of each group of pictures and band of sizes."""
    table = _table("", "side")
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


def single_figures(measured: Judgements) -> Table:
    """Figures at the score in use, landmarks, and time; of two detectors also the ratio of their times."""
    table = _table("")
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


def _figures(judged: Judged) -> Iterator[tuple[str, Told]]:
    """What a row is called, and what it says of a detector."""
    quality = judged.quality
    yield f"faces of {FROM_12} found, at score {quality.score:g}", lambda j: _share(j.quality.recall_from_12)
    yield f"false alarms in all {quality.pictures} pictures", lambda j: f"{j.quality.false_alarms}"
    if quality.alarms.pictures:
        yield f"  in the {quality.alarms.pictures} without faces", lambda j: f"{j.quality.alarms.count}"
        yield f"  score that leaves 1 in {QUIET} of these", lambda j: _number(j.quality.alarms.quiet_score)
    yield "landmark error, of the eyes' distance: mean", lambda j: _share(j.quality.landmarks.mean)
    yield "  median", lambda j: _share(j.quality.landmarks.median)
    yield "  mean without profiles", lambda j: _share(j.quality.landmarks.frontal_mean)


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in columns:
        table.add_column(column)
    return table


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
