"""The tables as a picture: milliseconds over depth and over width, the paper's dashed beside what was measured."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ...engines.errors import MissingDependencyError, OutputError, UsageError
from ..doctor.machine import Machine
from .configs import Backend
from .paper import SCALE, SIDE, PaperTable
from .results import Timing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    Backend("onnxruntime", "fp32"): "#0b5fa5",
    Backend("onnxruntime", "fp16"): "#3fa7d6",
    Backend("onnxruntime", "int8"): "#0f9d6b",
    Backend("openvino", "fp32"): "#b8860b",
    Backend("openvino", "fp16"): "#e0a800",
    Backend("openvino", "int8"): "#7a5c00",
    Backend("tensorrt", "fp32"): "#8a3ffc",
    Backend("tensorrt", "fp16"): "#d9480f",
    Backend("tensorrt", "int8"): "#c2255c",
}
"""A colour for each that may take part, told apart by those who see few colours too: the lines bear their names."""
OTHER, INK, FAINT, PAPER_INK = "#555555", "#222222", "#e3e3e3", "#8c8c8c"
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""Milliseconds that the axis bears."""


def check(path: Path) -> None:
    """Whether a chart can be drawn, for those who would find out after minutes.

    Raises:
        UsageError: not a PNG.
        OutputError: there is no such folder.
        MissingDependencyError: matplotlib is not installed.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"expected a chart that ends in .png, got {path}")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {path.parent}; make it, or choose another file")
    if find_spec("matplotlib") is None:
        raise MissingDependencyError("matplotlib", "bench", "the chart")


def draw(timing: Timing, path: Path) -> None:
    """Draw the tables, a panel each.

    Args:
        timing: what was measured.
        path: PNG file to write.

    Raises:
        UsageError, MissingDependencyError: see `check`.
        OutputError: the file cannot be written.
    """
    check(path)
    from matplotlib.figure import Figure  # without pyplot: no window, and nothing is left open

    figure = Figure(figsize=(6 * len(timing.tables), 5), dpi=150, facecolor="white")
    figure.subplots_adjust(left=0.06, right=0.865, top=0.8, bottom=0.17, wspace=0.52)
    panels = figure.subplots(1, len(timing.tables), squeeze=False, sharey=True)[0]
    low_high = _scale(panels[0], timing)
    for axes, table in zip(panels, timing.tables, strict=True):
        _panel(axes, timing, table, low_high)
    faces = "one face" if timing.batch == 1 else f"{timing.batch} faces"
    title = f"IDRN x{SCALE}, {faces} of {SIDE}x{SIDE} px: milliseconds a call"
    figure.text(0.06, 0.94, title, fontsize=14, fontweight="bold", color=INK)
    figure.text(0.06, 0.89, about(timing.machine, timing.threads, timing.when), fontsize=9, color=PAPER_INK)
    told = "Line: median; band: four of five calls; dashed: the paper, one face, GTX 1060, TensorFlow. Log scale."
    figure.text(0.06, 0.025, told, fontsize=8, color=PAPER_INK)
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another file") from None


def about(machine: Machine, threads: int, when: str) -> str:
    """Where and when something was measured, in a line; 0 threads are one a core."""
    told = f"threads: {threads}" if threads else "a thread for each core"
    return f"{machine.cpu}, cores: {machine.cores}, {told} · {when[:10]}"


def _panel(axes: Axes, timing: Timing, table: PaperTable, low_high: tuple[float, float]) -> None:
    x = [row.depth if table.varies == "depth" else row.width for row in table.rows]
    gmac = [timing.networks[row.size].macs / 1e9 for row in table.rows]
    names: list[tuple[float, str, str]] = []  # where lines end, their names and colours
    paper = [row.paper_ms for row in table.rows]
    axes.plot(x, paper, "--", color=PAPER_INK, lw=1.6, marker="o", ms=4, mfc="white", zorder=2)
    names.append((paper[-1], "paper, GTX 1060", PAPER_INK))
    for who in timing.contestants:
        taken = [timing.networks[row.size].taken.get(who) for row in table.rows]
        have = [(at, one) for at, one in zip(x, taken, strict=True) if one]
        if have:
            at, colour = [place for place, _ in have], COLOURS.get(who, OTHER)
            axes.fill_between(at, [s.p10 for _, s in have], [s.p90 for _, s in have], color=colour, alpha=0.15, lw=0)
            axes.plot(at, [s.p50 for _, s in have], "-", color=colour, lw=2, marker="o", ms=5, zorder=3)
            names.append((have[-1][1].p50, str(who), colour))
    for y, (_, name, colour) in zip(_apart([end for end, *_ in names], low_high), names, strict=True):
        axes.text(1.03, y, name, color=colour, fontsize=9, va="center", transform=axes.get_yaxis_transform())
    axes.set_xticks(x, [f"{at}\n{cost:.3g} GMAC" for at, cost in zip(x, gmac, strict=True)], color=INK, fontsize=9)
    axes.set_title(table.title, loc="left", fontsize=10.5, color=INK, pad=8)
    margin = 0.06 * (x[-1] - x[0] or 1)
    axes.set_xlim(x[0] - margin, x[-1] + margin)
    axes.grid(axis="y", color=FAINT, lw=0.8)
    axes.tick_params(length=0, labelleft=True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def _scale(axes: Axes, timing: Timing) -> tuple[float, float]:
    """A log scale, which all panels share, from the step below the least to the step above the most: the two."""
    ends = [ms for network in timing.networks.values() for one in network.taken.values() for ms in (one.p10, one.p90)]
    ends += [row.paper_ms for table in timing.tables for row in table.rows]
    low = max((step for step in STEPS if step <= min(ends)), default=STEPS[0])
    high = min((step for step in STEPS if step >= max(ends)), default=STEPS[-1])
    axes.set_yscale("log")
    axes.set_ylim(low * 0.95, high * 1.05)
    axes.set_yticks([step for step in STEPS if low <= step <= high])
    axes.set_yticks([], minor=True)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return low, high


def _apart(ends: list[float], low_high: tuple[float, float]) -> list[float]:
    """Where names stand on a log scale: at the lines' ends, pushed up where two would touch."""
    factor = (low_high[1] / low_high[0]) ** 0.05  # a line of text, of the panel's height
    placed: dict[int, float] = {}
    below = 0.0
    for which in sorted(range(len(ends)), key=lambda n: ends[n]):
        below = placed[which] = max(ends[which], below * factor)
    return [placed[which] for which in range(len(ends))]
