"""Chart of `bench peers`: a horizontal bar for each peer, a panel for each task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..chart_style import GRID, INK, MUTED, check_chart_path, run_description, save, style, write_texts
from .measure import PeersTimings
from .task import TaskTimings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN, OTHER = "#0072B2", "#B0B0B0"
"""Colors of this package and of other software; the names say it too."""
ROW_INCHES, PANEL_INCHES, TOP_INCHES, BOTTOM_INCHES = 0.32, 0.8, 1.0, 0.8
"""Height of a bar, of a panel's title and axis, and of the texts above and below all panels."""
LABEL: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 8.5, "color": INK}
"""Style of the text beside a bar."""
MAX_REASON = 70
"""Characters of the reason for which a peer was not timed."""


def draw_peers(timings: PeersTimings, path: Path) -> None:
    """Draw the timings as PNG.

    Raises:
        UsageError, MissingDependencyError: see `check_chart_path`.
        OutputError: the file cannot be written.
    """
    check_chart_path(path)
    save(peers_figure(timings), path)


def peers_figure(timings: PeersTimings) -> Figure:
    """The chart as a matplotlib figure."""
    from matplotlib.figure import Figure

    rows = [len(task.timings) + len(task.absent) for task in timings.tasks]
    height = sum(ROW_INCHES * count + PANEL_INCHES for count in rows) - PANEL_INCHES + TOP_INCHES + BOTTOM_INCHES
    figure = Figure(figsize=(10, height), dpi=150, facecolor="white")
    space = PANEL_INCHES / (ROW_INCHES * sum(rows) / len(rows))
    grid = figure.add_gridspec(
        len(rows),
        1,
        height_ratios=rows,
        hspace=space,
        left=0.29,
        right=0.96,
        top=1 - TOP_INCHES / height,
        bottom=BOTTOM_INCHES / height,
    )
    for number, task in enumerate(timings.tasks):
        _draw_task(figure.add_subplot(grid[number, 0]), task)
    subtitle = run_description(timings.machine, timings.threads, timings.when)
    footnote = f"Median of {timings.rounds} interleaved rounds, ratio to the first row; line: 10th to 90th percentile."
    write_texts(figure, 0.03, "This package and other software on the same input", subtitle, footnote)
    return figure


def _draw_task(axes: Axes, task: TaskTimings) -> None:
    longest = max(timing.latency_ms.p90 for timing in task.timings)
    names = [timing.name for timing in task.timings] + list(task.absent)
    for row, timing in enumerate(task.timings):
        latency = timing.latency_ms
        color = OWN if timing.name.startswith("facesr-edge") else OTHER
        axes.barh(row, latency.p50, height=0.7, color=color)
        axes.plot([latency.p10, latency.p90], [row, row], color=INK, lw=1)
        axes.annotate(_label(timing.ratio, latency.p50, timing.figures), (latency.p90, row), (5, 0), **LABEL)
    for row, reason in enumerate(task.absent.values(), start=len(task.timings)):
        short = reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]}…"
        axes.annotate(f"not timed: {short}", (0, row), (5, 0), **{**LABEL, "color": MUTED})
    axes.set_yticks(range(len(names)), names, fontsize=9, color=INK)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1.6 * longest)
    axes.set_title(task.title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel(f"ms per {task.unit}", fontsize=8.5, color=INK)
    axes.grid(axis="x", color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    style(axes)


def _label(ratio: float, ms: float, figures: dict[str, float]) -> str:
    faces = f", {figures['faces']} faces found" if "faces" in figures else ""
    digits = 2 if ms < 10 else 1 if ms < 100 else 0
    return f"{ms:.{digits}f} ms, x{ratio:.{2 if ratio < 100 else 0}f}{faces}"
